"""Every scenario on every driver, healthy and with each planted defect: run, kept, written up.

``table`` says which cells there are, ``cells`` what was found in one, ``planning`` which to run
next, ``score`` and ``page`` what to say about all of them: these are pure. ``digests``,
``history``, ``platforms`` and ``playing`` meet the world; ``__main__`` is the command.
"""
