"""Live updates (R18.4): what changes of a run reaches every open page, from whichever process it sits at.

The database writes an event with each change and calls; one event loop a web process hears it and
writes to all browsers that are connected to this process. No stream holds a thread.
"""
