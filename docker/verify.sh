#!/usr/bin/env bash
# Proves the images and the compose file on a real engine: builds both images, brings the stack up, asks for a picture
# and a score, kills the worker under a job, scales, scrapes, sees an alert fire, and takes everything down.
#
# It heeds DOCKER_HOST and what the compose file heeds: PYTHON_IMAGE, REDIS_IMAGE, PROMETHEUS_IMAGE and GRAFANA_IMAGE for
# other bases, TORCH and PIP_* for other sources of packages. SERVICES leaves services out where an image cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

export COMPOSE_PROJECT_NAME=tarflow-verify
export REDIS_PASSWORD=${REDIS_PASSWORD:-verify}
export API_PORT=${API_PORT:-18000} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090} GRAFANA_PORT=${GRAFANA_PORT:-13000}
read -ra services <<< "${SERVICES:-api generate score redis prometheus grafana}"
api=http://127.0.0.1:$API_PORT
prometheus=http://127.0.0.1:$PROMETHEUS_PORT
folder=$(mktemp -d)
beginning=$SECONDS

compose() { docker compose -f docker-compose.yml -f docker-compose.dashboards.yml "$@"; }
say() { printf '%4d s  %s\n' $((SECONDS - beginning)) "$*"; }
ask() { curl --fail --silent --show-error --max-time 90 "$@"; }

# Waits until a command succeeds: await SECONDS WHAT COMMAND...
await() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" > "$folder/last" 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "FAILED: $what" >&2
            cat "$folder/last" >&2
            return 1
        fi
        sleep 0.5
    done
}

# Whether a query of Prometheus has a value: query EXPRESSION, or query EXPRESSION VALUE for this one.
query() {
    ask --get "$prometheus/api/v1/query" --data-urlencode "query=$1" | grep -F "${2:+,\"$2\"]}" | grep -F '"value":['
}

finish() {
    local status=$?
    if ((status)); then
        compose ps --all || true
        compose logs --tail 30 || true
    fi
    compose down --volumes --timeout 5 > /dev/null 2>&1 || true
    rm -rf "$folder"
    ((status)) || say "taken down; everything held"
}
trap finish EXIT

say "building"
compose build --quiet api generate score
say "built: $(docker image inspect tarflow-service:0.1.0 --format 'API {{.Size}} bytes'), $(docker image inspect tarflow-worker:0.1.0-cpu --format 'worker {{.Size}} bytes')"
docker run --rm --entrypoint python tarflow-service:0.1.0 -c \
    "import service; from importlib.util import find_spec; raise SystemExit(find_spec('torch') is not None)"
say "the API's image has no torch"

up=$SECONDS
compose up --detach --wait --pull missing "${services[@]}" > "$folder/up" 2>&1 || { cat "$folder/up"; exit 1; }
say "up and healthy"
ask -X POST "$api/generate?class=7&guidance=2.0" -o "$folder/seven.png"
[[ $(head -c 4 "$folder/seven.png" | tail -c 3) == PNG ]]
say "first picture, $((SECONDS - up)) s after up"
ask -X POST --data-binary @"$folder/seven.png" -H "Content-Type: image/png" "$api/score" | grep -q '"log_likelihood_nats"'
say "scored"

job=$(ask -X POST "$api/generate?class=3&n=16&seed=1" -H "Prefer: respond-async" | sed 's/.*"job_id":"\([^"]*\)".*/\1/')
worker=$(compose ps --quiet generate)
# As a crash, for which the restart policy is; where the engine's processes are out of reach, as a kill and a start.
if ! kill -KILL "$(docker inspect --format '{{.State.Pid}}' "$worker")" 2> /dev/null; then
    docker kill "$worker" > /dev/null
    compose start generate > /dev/null 2>&1
fi
killed=$SECONDS
await 90 "the job of the killed worker has a result" ask "$api/jobs/$job/result" -o "$folder/after.png"
say "the worker was killed under a job; the job was done $((SECONDS - killed)) s later, after $(docker inspect --format '{{.RestartCount}}' "$worker") restart(s)"

compose up --detach --wait --no-recreate --scale generate=2 generate > /dev/null 2>&1
await 60 "two generate workers" query 'max(tarflow_workers{kind="generate"})' 2
say "scaled to two generate workers"

await 30 "Prometheus scrapes the API" query 'up{job="tarflow-api"}' 1
await 30 "Prometheus scrapes every worker" query 'count(up{job="tarflow-worker"} == 1)' 3
await 60 "a recording" query 'tarflow:workers{kind="score"}' 1
say "Prometheus scrapes the API and all workers, and records"
if compose ps --services | grep -q grafana; then
    await 60 "Grafana has the dashboard" ask "http://127.0.0.1:$GRAFANA_PORT/api/dashboards/uid/tarflow"
    say "Grafana shows the dashboard"
fi

compose stop --timeout 30 score > /dev/null 2>&1
await 180 "the alert on a stopped worker" query 'ALERTS{alertname="TarflowNoWorker", kind="score", alertstate="firing"}' 1
say "the score worker was stopped, and TarflowNoWorker fires"
