"""scikit-learn's own tests of its LogisticRegression, run on ours: what passes, and why the rest does not."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import sklearn

#: What a failure says, and the reason why: a feature that is not there, or one that differs on purpose.
REASONS = {
    r"'solver' parameter .* Got '(liblinear|sag|saga)'": "a solver that is not there: all reach the same optimum",
    r"the 'liblinear' solver does not support": "the same",
    r"Using the 'liblinear' solver while": "the same",
    r"keyword argument '(penalty|l1_ratio|n_jobs|dual|intercept_scaling)'": "a parameter that is not there",
    r"Invalid parameter '(penalty|l1_ratio|n_jobs|dual)'": "a parameter that is not there",
    r"KeyError: 'n_jobs'": "a parameter that is not there",
    r"LogisticRegressionCV must be a str": "LogisticRegressionCV is scikit-learn's own",
}
#: Tests that fail for a reason of their own.
DIFFERS = {
    "test_max_iter": "fewer steps are needed, or the warning is another sentence",
    "test_logistic_glmnet": "tol is the objective's gap: 1e-8 leaves 3e-5 of the smallest coefficient",
    "test_warm_start_newton_solver": "one step of newton-cg, or of a sample, is not one of scikit-learn's",
    "test_dtype_match": "coefficients are float64, whatever X is",
    "test_logreg_predict_proba_multinomial": "asks for a private method",
    "test_logistic_regression_callback_support": "counts the task that SciPy's callback leaves empty",
    "test_logistic_regression_callback_support_warning": "callbacks work with every solver",
    "test_l1_ratio_non_elasticnet": "warns of a parameter that is not there",
    "test_newton_cholesky_fallback_to_lbfgs": "newton needs no other solver to fall back on",
}
CONFTEST = """
import pytest

@pytest.fixture(params=[42])
def global_random_seed(request):
    return request.param
"""


@pytest.mark.slow
@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="the list is that of scikit-learn 1.9")
def test_scikit_learns_tests_pass_but_for_what_is_listed(tmp_path):
    folder = Path(sklearn.__file__).parent / "linear_model" / "tests"
    text = (folder / "test_logistic.py").read_text()
    theirs = "from sklearn.linear_model import LogisticRegression, "
    assert text.count(theirs) == 1
    text = text.replace(theirs, "from fastlogit import LogisticRegression\nfrom sklearn.linear_model import ")
    (tmp_path / "test_ours.py").write_text(text.replace('"newton-cholesky"', '"newton"'))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    report = tmp_path / "report.xml"
    # without the tests of LogisticRegressionCV, which is scikit-learn's own
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ours.py", "-k", "not cv"]
    command.append(f"--junitxml={report}")
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # a quarter of the time was threads that wait in a loop
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=alone)
    passed, unexplained = 0, []
    for case in ET.parse(report).getroot().iter("testcase"):
        name = case.get("name")
        failure = next((each for each in case if each.tag in ("failure", "error")), None)
        if failure is None:
            passed += not len(case)
            continue
        message = failure.get("message") or ""
        if name.split("[")[0] not in DIFFERS and not any(re.search(reason, message) for reason in REASONS):
            unexplained.append((name, message[:500]))
    assert not unexplained, done.stdout[-3000:]
    assert passed >= 71
