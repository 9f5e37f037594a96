"""Gene-expression imputation as an executable study; this package holds everything that affects a number.

Importing the package is cheap on purpose: no numerical library is loaded until a room that needs it is imported.
"""

__version__ = "0.1.0"
