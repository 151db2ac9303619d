"""scikit-learn's callbacks during a fit, if the installed version has them and the estimator was given any."""

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

try:
    _theirs: Any = import_module("sklearn.callback")
except ImportError:  # before scikit-learn 1.9
    _theirs = SimpleNamespace(CallbackSupportMixin=type("NoCallbacks", (), {}), with_callbacks=lambda fit: fit)

#: The base class that gives an estimator ``set_callbacks``, and the decorator of ``fit`` that ends callbacks when it
#: fails; without effect before scikit-learn 1.9.
CallbackSupportMixin, with_callbacks = _theirs.CallbackSupportMixin, _theirs.with_callbacks


class FitTask:
    """A fit whose progress is reported to callbacks; without callbacks all methods do nothing.

    Parameters
    ----------
    model : estimator
        The estimator, a `CallbackSupportMixin`.
    X, y, sample_weight
        The arguments of ``fit``.
    **always
        Fitted attributes that are the same at every step.
    """

    def __init__(self, model: Any, X: Any, y: Any, sample_weight: Any, **always: Any) -> None:
        self._model, self._always, self._context = model, always, None
        if not getattr(model, "_skl_callbacks", None):
            return
        self._data: dict[str, Any] = dict(X=X, y=y)
        if sample_weight is not None:
            self._data["metadata"] = {"sample_weight": sample_weight}
        self._context = model._init_callback_context(max_subtasks=None)
        self._begin(self._context)

    def _begin(self, context: Any) -> None:
        context.call_on_fit_task_begin(estimator=self._model, **self._data)

    def _end(self, context: Any, attributes: dict[str, Any]) -> bool:
        attributes = attributes | self._always
        ended = context.call_on_fit_task_end(estimator=self._model, **self._data, reconstruction_attributes=attributes)
        return bool(ended)

    def step(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Report a step, with the attributes of a fit that ends here; return whether a callback stops the fit."""
        if self._context is None:
            return False
        step = self._context.subcontext(task_name="step")
        self._begin(step)
        return self._end(step, attributes())

    def end(self, attributes: dict[str, Any]) -> None:
        """Report the end of the fit, with its attributes."""
        if self._context is not None:
            self._end(self._context, attributes)
