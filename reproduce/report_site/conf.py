"""How the report's pages look; knows nothing about their content. Copied beside the pages and read by Sphinx."""

project = "Imputation of gene expression, reproduced"
author = "the contributors of the project"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# The reference: numpydoc docstrings, whose types stand in their text.
autodoc_typehints = "none"
autodoc_preserve_defaults = True  # else a function as a default is shown with its address
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "set_fit_request, set_transform_request"}
add_module_names = False
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
default_role = "py:obj"
toc_object_entries_show_parents = "hide"

# Notebooks arrive executed: building the pages must neither run nor change anything.
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars and library notices; a failed cell never gets this far
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

# MathJax from a file beside the pages: they open from a disk without a network. The menu would fetch more files.
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["report.css"]
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_source_button": False,
    "use_issues_button": False,
    "use_repository_button": False,
    "navbar_persistent": [],  # else a second search field lies over the page
    "show_toc_level": 2,
    "home_page_in_toc": True,
}
exclude_patterns = ["_build"]
