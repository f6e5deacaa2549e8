"""How often a process that is never to pause looks for reference cycles."""

import gc


def tune_collector() -> None:
    """Have Python look for reference cycles less often, and not among what is there already.

    A worker's batch makes thousands of objects, none of them in a cycle; with the default of 700,
    looking costs a third of all the processing. An API that loads a model makes as many, and a look
    at everything that it has imported stops all its requests for 40 ms. Call it once all is
    imported.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
