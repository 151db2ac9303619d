"""The order of the examples on their page: what a newcomer wants first stands first."""

_ORDER = (
    *("first_fit", "frames", "categories", "text", "images", "many_classes"),
    *("weights", "offset", "soft_labels", "calibration", "search"),
    *("certificate", "separation", "solvers"),
)


class ByReader:
    """A key that sphinx-gallery sorts the files by."""

    def __init__(self, src_dir):
        pass

    def __call__(self, filename):
        """Return the place of an example; a new one that is not listed stands last."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return _ORDER.index(name) if name in _ORDER else len(_ORDER)

    def __repr__(self):
        return "<ByReader>"
