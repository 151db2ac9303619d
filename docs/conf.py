"""How the site is built: ``python -m sphinx -W docs docs/_build``."""

from importlib import metadata

project = "fastlogit"
author = "The fastlogit developers"
release = version = metadata.version("fastlogit")
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "**/README.*"]
html_theme = "pydata_sphinx_theme"
html_title = "fastlogit"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_show_sourcelink = False
myst_heading_anchors = 3
numpydoc_show_class_members = False
default_role = "code"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": "plot_",
    "download_all_examples": False,
    "show_memory": False,
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
}
