"""How the site is built: ``python -m sphinx -W docs docs/_build``."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # gallery_order

project = "fastlogit"
author = "The fastlogit developers"
release = version = metadata.version("fastlogit")
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_design", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "**/README.*"]
html_theme = "pydata_sphinx_theme"
html_title = "fastlogit"
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
}
html_sidebars = {page: [] for page in ("index", "api")}
html_static_path = ["_static"]
html_css_files = ["fastlogit.css"]
html_show_sourcelink = False
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"  # the docstrings have them, in fewer words
autodoc_member_order = "bysource"
default_role = "code"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "gallery_order.ByReader",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
}
