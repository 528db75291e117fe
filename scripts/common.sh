# SPDX-License-Identifier: BSD-2-Clause
# What demo, runtests and .ci/run share. They set `root`, the project's
# directory, and read this file.
#
# Everything is built below build/: the usual build in build/main, others
# beside it, and what the commands print in build/log. What takes long prints
# one line before it begins; of its own output only the end is shown, and only
# when it fails.

name=$(basename "$0")
logs=$root/build/log
main=$root/build/main
jobs=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)

say() {
  printf '== %s\n' "$*"
}

die() {
  printf '%s: %s\n' "$name" "$*" >&2
  exit 1
}

# quietly LOG COMMAND...: runs COMMAND with its output in the file LOG.
quietly() {
  log=$logs/$1.log
  shift
  result=0
  "$@" >"$log" 2>&1 </dev/null || result=$?
  [ "$result" != 0 ] || return 0
  tail -n 40 "$log" >&2
  printf '%s: this failed: %s\n' "$name" "$*" >&2
  printf '%s: all it printed is in %s\n' "$name" "$log" >&2
  return "$result"
}

# Begins: nothing works without a place to write to.
begin() {
  mkdir -p "$logs" 2>/dev/null && [ -w "$logs" ] ||
    die "cannot write to $root/build; is the directory yours?"
}

# packages GROUP...: the names in scripts/packages.
packages() {
  for group in "$@"; do
    awk -v group="$group" '$1 == group { print $2 }' "$root/scripts/packages"
  done
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt() {
  set -- env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
  if [ "$(id -u)" != 0 ]; then
    set -- sudo "$@"
  fi
  "$@"
}

# install_packages PACKAGE...
install_packages() {
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "please install, as root: apt-get install $*"
  fi
  say "installing with apt: $*"
  # Old lists may still do, so that only installing has to work.
  quietly apt-update apt update ||
    say 'apt-get update failed; going on with the lists that are there'
  quietly apt-install apt install --no-install-recommends "$@" ||
    die "apt could not install: $*"
}

# install_missing GROUP...: calls apt only if something is missing.
install_missing() {
  if ! command -v dpkg-query >/dev/null; then
    say 'this is no Debian; configure says what is missing'
    return
  fi
  missing=
  for package in $(packages "$@"); do
    is_installed "$package" || missing="$missing $package"
  done
  # shellcheck disable=SC2086
  [ -z "$missing" ] || install_packages $missing
}

# In a tarball there is nothing to do.
bootstrap() {
  [ ! -f "$root/config.status" ] ||
    die 'the source directory is configured itself; run make distclean in it'
  for made in configure config.h.in Makefile.in build-aux/ltmain.sh; do
    [ -f "$root/$made" ] || {
      say bootstrap
      quietly bootstrap "$root/bootstrap" || die 'bootstrap failed'
      return
    }
  done
}

# configure_in DIRECTORY OPTION...: anew if the options, the flags or the
# place of the project have changed; changed sources are make's business.
configure_in() {
  directory=$1
  shift
  made_with="$root $* ${CC-} ${CPPFLAGS-} ${CFLAGS-} ${LDFLAGS-}"
  if [ -f "$directory/Makefile" ] &&
    [ "$(cat "$directory/made-with" 2>/dev/null)" = "$made_with" ]; then
    return
  fi
  say "configure $*"
  rm -rf "$directory"
  mkdir -p "$directory"
  quietly "configure-$(basename "$directory")" \
    env -C "$directory" "$root/configure" "$@" || die 'configure failed'
  printf '%s\n' "$made_with" >"$directory/made-with"
}

# make_in DIRECTORY TARGET...
make_in() {
  directory=$1
  shift
  quietly "make-$(basename "$directory")" \
    make -C "$directory" -j"$jobs" "$@" || die 'make failed'
}

# From a clone to build/main, ready to run.
setup() {
  begin
  install_missing setup
  bootstrap
  configure_in "$main" --enable-examples --enable-tests
  say 'make'
  make_in "$main" all
}

### Counting tests

passed=0
failed=0
skipped=0

# For scripts that count: whatever ends them, the last line is the count, and
# what ended them early counts as a failure.
report_at_exit() {
  trap 'report $?' EXIT
  trap 'end_tests; exit 130' INT
  trap 'end_tests; exit 143' TERM
}

# make check has a process group of its own, which a terminal's ^C misses.
runner=
end_tests() {
  [ -z "$runner" ] || kill "$runner" 2>/dev/null || :
}

report() {
  if [ "$1" != 0 ] && [ "$failed" = 0 ]; then
    failed=1
  fi
  if [ "$skipped" = 0 ]; then
    echo "$passed passed, $failed failed"
  else
    echo "$passed passed, $failed failed, $skipped skipped"
  fi
  [ "$failed" = 0 ] && [ "$passed" != 0 ] && exit 0
  exit 1
}

# results DIRECTORY: one line for each test program and script in it:
#   NAME PASSED FAILED SKIPPED
results() {
  find "$1/tests" -name '*.trs' | LC_ALL=C sort | while read -r file; do
    test=${file#"$1"/}
    awk -v test="${test%.trs}" '
      /^:test-result: PASS/ { passed++ }
      /^:test-result: SKIP/ { skipped++ }
      /^:test-result: ERROR - exited with status/ { exited = 1; next }
      /^:test-result: (FAIL|ERROR|XFAIL|XPASS)/ { failed++ }
      END {
        # A program with failed tests says so by its status, too.
        failed += exited && !failed
        print test, passed + 0, failed + 0, skipped + 0
      }' "$file"
  done
}

# test_in DIRECTORY [MAKE ARGUMENT]...: runs make check, shows what failed,
# and adds to the count.
test_in() {
  directory=$1
  shift
  title=$(basename "$directory")
  log=$logs/check-$title.log
  mkdir -p "$directory/tests"
  find "$directory/tests" -name '*.trs' -exec rm -f {} +
  status=0
  # shellcheck disable=SC2086
  timeout 900 ${without_aslr-} make -C "$directory" -j"$jobs" check "$@" \
    >"$log" 2>&1 </dev/null &
  runner=$!
  wait "$runner" || status=$?
  runner=
  [ "$status" != 124 ] || echo 'The tests did not end within 15 minutes.'
  results "$directory" >"$logs/results-$title"
  # shellcheck disable=SC2046
  set -- $(awk '{ p += $2; f += $3; s += $4 } END { print p + 0, f + 0, s + 0 }' \
    "$logs/results-$title")
  if [ "$status" != 0 ] && [ "$2" = 0 ]; then
    # It broke outside any test: a source that doesn't compile, for instance.
    tail -n 60 "$log"
    set -- "$1" 1 "$3"
  elif [ "$2" != 0 ] || [ "$3" != 0 ]; then
    grep -Ev '^(ok|PASS:) ' "$directory/test-suite.log" || cat "$log"
  fi
  awk '{
    printf "   %-36s %5d passed", $1, $2
    if ($3) printf ", %d failed", $3
    if ($4) printf ", %d skipped", $4
    print ""
  }' "$logs/results-$title"
  passed=$((passed + $1))
  failed=$((failed + $2))
  skipped=$((skipped + $3))
}

# step TITLE COMMAND...: one more test, which passes if COMMAND does; as in
# make check, a status of 77 means that it could not be run.
step() {
  say "$1"
  log_name=$(echo "$1" | tr -cs 'A-Za-z0-9\n' -)
  shift
  status=0
  quietly "$log_name" "$@" || status=$?
  case $status in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) ;;
  esac
}
