"""The service: one FastAPI application over `layerfusion.runs`, for programs and for the studio's page.

    supervisor   starts the two processes below, and starts either again when it dies; holds the listening socket
    web          answers HTTP; knows no torch, and so is there at once
    worker       holds the model, takes runs from the store, writes their pictures

What binds them is a folder (`--data`): `jobs.sqlite3`, the queue and what became of each run; `results/`, a folder for
each run; `uploads/`, pictures that clients sent. Nothing is kept in a process alone, so that none is missed.
"""
