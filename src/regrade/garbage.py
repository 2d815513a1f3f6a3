"""How often Python looks for garbage: rarely, from the start of a process on."""

import gc


def collect_rarely() -> None:
    """To be called before anything heavy is imported.

    Modules are many objects that stay, and so is what a server is built of: looking through them at every 700th
    new one costs a fifth of the start. Rows are many small objects that live a moment and hold no cycles: it would
    cost a tenth of the processor while a thousand rows are away.
    """
    gc.set_threshold(50_000, 20, 20)
