# Two sessions, as a real worker's: one asks all the time, one is idle in a transaction. Losing either ends it.
import os
import select
import signal
import threading
import time
import traceback

import django

django.setup()
from django.db import connection, transaction


def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM conversations_contact")


def busy():
    while True:
        ask()
        time.sleep(0.1)


def idle():
    with transaction.atomic():
        ask()
        select.select([connection.connection], [], [])  # the server says something only when it ends the session
        raise RuntimeError("session lost")


def or_die(work):
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # process 1 has no default for it
for work in (busy, idle):
    threading.Thread(target=or_die, args=[work]).start()
