#!/bin/sh
set -e
if [ "$1" != web ]; then exec "$@"; fi
python manage.py makemigrations --noinput
python manage.py migrate --noinput
exec python manage.py runserver 0.0.0.0:8000 --noreload
