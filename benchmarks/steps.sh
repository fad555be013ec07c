# Steps in the time there is: to be sourced, after `end_s`, the second that all must end by, and `summary=""` are set.
# A step that fails or runs out of time leaves the others to run.

step() { # NAME SECONDS COMMAND...
    name=$1 limit_s=$2
    shift 2
    left_s=$((end_s - $(date +%s)))
    [ "$limit_s" -le "$left_s" ] || limit_s=$left_s
    started_s=$(date +%s)
    status="no time left"
    if [ "$limit_s" -ge 5 ]; then
        echo "== $name, at most $limit_s s: $*"
        timeout --signal=INT --kill-after=5 "$limit_s" "$@" && status=done || status="failed or cut off ($?)"
    fi
    summary="$summary$name: $status after $(($(date +%s) - started_s)) s
"
}
