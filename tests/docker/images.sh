#!/usr/bin/env bash
# Makes the images of the Docker tests, without any registry: debootstrap and `docker import`. Debian, as root or with sudo.
#
#   reset-migrations-test/db:15    PostgreSQL 15 with an entrypoint in the shape of the official image's
#   reset-migrations-test/app:1    Python with what tests/projects/requirements.txt names; the code comes to /app
#   reset-migrations-test/bare:1   busybox only: neither Python nor PostgreSQL's programs
#
# An image that is there is left alone; its file system is also kept in the cache folder, for an engine that has forgotten it.
# A change of this file, of the entrypoint or of the requirements makes them anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

suite=bookworm
python=python3.11 # the suite's
requirements=../projects/requirements.txt
state=$(cat images.sh db_entrypoint.sh "$requirements" | sha256sum | head -c 12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reset_migrations

say() { echo "images.sh: $*" >&2; }

sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)

# Before `docker`: a user without the right to the socket builds with sudo.
engine() { if docker version >/dev/null 2>&1; then docker "$@"; else "${sudo[@]}" env DOCKER_BUILDKIT=0 docker "$@"; fi; }
export DOCKER_BUILDKIT=0 # BuildKit would look for the base in a registry

there() { # image
  [ "$(engine image inspect --format '{{index .Config.Labels "reset-migrations-test"}}' "$1" 2>/dev/null)" = "$state" ]
}

# The mirror that this machine's apt uses; none: debootstrap's own.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1 || true; }

debian() { # folder packages
  local proxy= from
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  from=$(mirror)
  "${sudo[@]}" env ${proxy:+http_proxy="$proxy"} debootstrap --variant=minbase --include="$2" "$suite" "$1" ${from:+"$from"} >"$1.log" 2>&1 ||
    { say "debootstrap failed:"; tail -n 20 "$1.log" >&2; return 1; }
  "${sudo[@]}" rm -rf "$1"/usr/share/{doc,man,info,locale} "$1"/var/cache/apt "$1"/var/lib/apt/lists "$1"/var/log
  "${sudo[@]}" mkdir "$1/var/log"
}

db() { # folder
  debian "$1" postgresql-15
  # Debian's own cluster, and the compiler of JIT, which is a third of the size; the server does without.
  "${sudo[@]}" rm -rf "$1"/{etc,var/lib}/postgresql/15 "$1"/usr/lib/*/libLLVM* "$1"/usr/lib/llvm* "$1"/usr/lib/postgresql/15/lib/{llvmjit.so,bitcode}
  "${sudo[@]}" install -m 755 db_entrypoint.sh "$1/usr/local/bin/docker-entrypoint.sh"
  "${sudo[@]}" chroot "$1" install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
  "${sudo[@]}" chroot "$1" install -d -o postgres -g postgres -m 2775 /var/run/postgresql
}

app() { # folder
  debian "$1" python3
  "${sudo[@]}" ln -s python3 "$1/usr/bin/python"
  "${sudo[@]}" mkdir -p "$1/app"
  python3 -m venv "$1.pip"
  # typing_extensions: pip reads the markers of its own Python, and a newer one leaves it out.
  "$1.pip/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-compile --target "$1.site" \
    --python-version "${python#python}" --only-binary :all: -r "$requirements" typing_extensions
  "${sudo[@]}" cp -R "$1.site/." "$1/usr/local/lib/$python/dist-packages"
  "${sudo[@]}" chroot "$1" "$python" -m compileall -q "/usr/local/lib/$python/dist-packages" || true # some are templates
}

bare() { # folder
  debian "$1.debian" busybox-static
  mkdir -p "$1"/{bin,tmp}
  cp "$1.debian/bin/busybox" "$1/bin/"
  for applet in sh cat echo env head id ls nc ps sleep true; do ln -s busybox "$1/bin/$applet"; done
}

db_config='
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin LANG=C.UTF-8
ENV PGDATA=/var/lib/postgresql/data PG_MAJOR=15
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]'
app_config='
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
CMD ["python3"]'
bare_config='
ENV PATH=/bin
CMD ["sh"]'

image() { # db|app|bare tag
  local name=reset-migrations-test/$1:$2 file=$cache/image-$1-$state.tar.zst from
  there "$name" && return
  local -n config=$1_config
  if [ ! -e "$file" ]; then
    say "building $name"
    "$1" "$work/$1"
    "${sudo[@]}" tar -C "$work/$1" --numeric-owner -c . | zstd -q -1 -o "$file.$$"
    rm -f "$cache/image-$1-"*.tar.zst
    mv "$file.$$" "$file"
  fi
  # `import --change` knows no STOPSIGNAL.
  from=$(zstd -q -dc "$file" | engine import -)
  printf 'FROM %s\nLABEL reset-migrations-test=%s%s\n' "$from" "$state" "$config" | engine build -q -t "$name" - >"$work/$1.build" 2>&1 ||
    { cat "$work/$1.build" >&2; return 1; }
  say "made $name"
}

if there reset-migrations-test/db:15 && there reset-migrations-test/app:1 && there reset-migrations-test/bare:1; then exit; fi
for program in docker debootstrap zstd python3 apt-get; do
  type -P "$program" >/dev/null || PATH=$PATH:/usr/sbin type -P "$program" >/dev/null || { say "$program is missing: apt install docker.io debootstrap zstd python3-venv"; exit 2; }
done
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$cache"
exec 9>"$cache/images.lock"
flock 9 # another run may be building them

work=$(mktemp -d)
set -m # each build is a process group of its own, so that an interrupt can end it whole
jobs=()
trap 'for job in "${jobs[@]}"; do kill -- -"$job" 2>/dev/null || true; done; wait; "${sudo[@]}" rm -rf "$work"' EXIT
image db 15 & jobs+=($!)
{ image app 1; image bare 1; } & jobs+=($!)
for job in "${jobs[@]}"; do wait "$job"; done
jobs=()
