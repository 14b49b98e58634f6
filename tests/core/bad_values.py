"""Values that no amount, time or count may have, for parametrized tests of bad input."""

import numpy as np

NO_NUMBERS = ["4", "four", "", None, True, False, [4], {"a": 1}, 1j, object(), np.bool_(True)]
"""Of another type than a number; booleans and strings too, which float() would take."""

NOT_FINITE = [float("nan"), float("inf"), -float("inf"), np.float32("nan"), 10**400]
"""Numbers without a finite float."""
