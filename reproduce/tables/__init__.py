"""Tables and sentences made from stored trials, a module for each question; never runs a method and never draws."""
