#!/usr/bin/env bash
# Sets up what is missing, then hands a job to spark-submit. No business logic: see README.md, and --help.
#
#   ./spark-submit.sh [spark-submit options] JOB [job options]
#   ./spark-submit.sh test [pytest options]
#   ./spark-submit.sh benchmark NAME
#
# SPARK_HOME, PYSPARK_PYTHON and JAVA_HOME are used where they are set.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

fail() { echo "$1" >&2; exit 2; }

# --- spark-submit's options come first; JOB is the first word that is neither an option nor its value
submit=() more_jars= more_files= class_path=
while (($#)); do
  case $1 in
    --load-spark-defaults | --verbose | -v | --version | --supervise | --help | -h | --usage-error) submit+=("$1"); shift ;;
    --jars=*) more_jars=,${1#*=}; shift ;;
    --py-files=*) more_files=,${1#*=}; shift ;;
    --driver-class-path=*) class_path=:${1#*=}; shift ;;
    --*=*) submit+=("$1"); shift ;;
    -*)
      (($# >= 2)) || fail "$1 needs a value"
      case $1 in
        --jars) more_jars=,$2 ;;
        --py-files) more_files=,$2 ;;
        --driver-class-path) class_path=:$2 ;;
        *) submit+=("$1" "$2") ;;
      esac
      shift 2 ;;
    *) break ;;
  esac
done
job=${1:-}
(($# == 0)) || shift

# --- Python: the one that is named, else .venv, made from pyproject.toml
make_venv() { # make_venv EXTRA: .venv holds the dependencies, and those of the extra
  local stamp=.venv/.installed-${1:-base} base=${PYTHON:-python3}
  if [[ -x .venv/bin/python ]] && cmp -s pyproject.toml "$stamp"; then return; fi
  command -v "$base" > /dev/null || fail "Python is missing: install Python 3.11 or newer (or set PYTHON to it)"
  "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$("$base" --version) is too old: install Python 3.11 or newer (or set PYTHON to it)"
  echo "setting up .venv ${1:+for $1 }(once)" >&2
  [[ -x .venv/bin/python ]] || "$base" -m venv .venv || fail "python3 -m venv failed: install Python's venv module"
  .venv/bin/python - "$@" << 'EOF' > .venv/requirements.txt
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
wanted = project["dependencies"] + [d for extra in sys.argv[1:] for d in project["optional-dependencies"][extra]]
print("\n".join(wanted))
EOF
  local try
  for try in 1 2 3; do
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r .venv/requirements.txt >&2 && break
    ((try < 3)) || fail "the packages of pyproject.toml could not be installed: see above"
  done
  cp pyproject.toml "$stamp"
}
if [[ -z ${PYSPARK_PYTHON:-} ]]; then
  case $job in
    test) make_venv test ;;
    benchmark) make_venv benchmark test ;;
    track) make_venv track ;;
    *) make_venv ;;
  esac
  PYSPARK_PYTHON=$PWD/.venv/bin/python
fi
export PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON=$PYSPARK_PYTHON
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # one task a core

# --- Spark: the one that is named, else pyspark's own
if [[ -z ${SPARK_HOME:-} ]]; then
  SPARK_HOME=$("$PYSPARK_PYTHON" -c 'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])') \
    || fail "$PYSPARK_PYTHON has no pyspark: install the dependencies of pyproject.toml there, or set SPARK_HOME"
  # its defaults are those of conf; a --properties-file goes over them
  export SPARK_CONF_DIR=${SPARK_CONF_DIR:-$PWD/conf}
  submit=(--load-spark-defaults "${submit[@]}")
  SPARK_SUBMIT_OPTS="-Dlog4j2.configurationFile=$PWD/conf/log4j2.properties ${SPARK_SUBMIT_OPTS:-}"
fi
export SPARK_HOME SPARK_SUBMIT_OPTS="-Xss64m ${SPARK_SUBMIT_OPTS:-}"  # the prefix trees of long baskets are deep
[[ -x $SPARK_HOME/bin/spark-submit ]] || fail "SPARK_HOME=$SPARK_HOME has no bin/spark-submit"
spark_python=$SPARK_HOME/python
[[ ! -d $spark_python ]] || spark_python=$spark_python:$(echo "$spark_python"/lib/py4j-*-src.zip)

# --- what needs no Spark is answered at once; wrong settings too
if [[ $job != test && $job != benchmark ]]; then
  case " ${submit[*]-} " in
    *" --help "* | *" -h "*) [[ -n $job ]] || job=--help ;;
    *" --version "*) [[ -n $job ]] || exec "$SPARK_HOME/bin/spark-submit" --version ;;
  esac
  code=0
  PYTHONPATH=$PWD:$spark_python "$PYSPARK_PYTHON" -m jobs --check ${job:+"$job"} "$@" || code=$?
  ((code != 100)) || exit 0
  ((code == 0)) || exit $code
fi

# --- what is made once is kept beside the code, or where a checkout may not be written, with the user
build=.build
{ mkdir -p "$build" && [[ -w $build ]]; } 2> /dev/null || build=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/clienteling
mkdir -p "$build" 2> /dev/null || fail "neither $PWD/.build nor $build may be written: set XDG_CACHE_HOME to a folder that may"

# --- Java and the Delta JARs
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" > /dev/null || fail "Java is missing: install a JDK or JRE of version 17 (or set JAVA_HOME to it)"
version=$("$java" -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1)
((${version:-0} >= 17)) || fail "Java $version is too old: install version 17 (or set JAVA_HOME to it)"
delta=$(sed -nE 's/.*"delta-spark==([0-9.]+)".*/\1/p' pyproject.toml)
jars=
if ! compgen -G "$SPARK_HOME/jars/delta-spark_*.jar" > /dev/null; then
  folder=.build/jars-$delta
  [[ -f $folder/complete ]] || folder=$build/jars-$delta
  if [[ ! -f $folder/complete ]]; then
    echo "getting the JARs of Delta $delta (once)" >&2
    for try in 1 2 3; do
      "$java" -cp "$SPARK_HOME/jars/*" -Ddelta.version="$delta" org.apache.ivy.Main -warn \
        ${IVY_SETTINGS:+-settings "$IVY_SETTINGS"} -ivy conf/jars.xml -types jar \
        -retrieve "$folder/[artifact]-[revision].[ext]" > "$build/ivy.log" 2>&1 && touch "$folder/complete" && break
      ((try < 3)) || { tail -n 5 "$build/ivy.log" >&2; fail "the JARs of conf/jars.xml could not be had; IVY_SETTINGS may name a mirror's settings"; }
    done
  fi
  jars=$(printf '%s,' "$folder"/*.jar)
fi
jars=$jars${more_jars#,}

# --- run it
if [[ $job == test ]]; then
  export PYTHONPATH=$PWD:$spark_python
  export PYSPARK_SUBMIT_ARGS="--driver-memory 3g ${submit[*]-} ${jars:+--jars ${jars%,}} ${class_path:+--driver-class-path ${class_path#:}} pyspark-shell"
  # a test plans many tiny queries: Java's quick compiler and a collector without threads of its own do with less work
  export SPARK_SUBMIT_OPTS="-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC $SPARK_SUBMIT_OPTS"
  # all tests in two processes, what is named in pytest's own, for a second session takes long to start
  workers=2
  for word in "$@"; do [[ ! -e ${word%%::*} ]] || workers=0; done
  # a file's tests stay together, for they share what it makes; files in the order of their names, so that long ones come early
  exec "$PYSPARK_PYTHON" -m pytest -n $workers --dist loadfile --no-loadscope-reorder "$@"
fi
package=$build/clienteling-$$.zip
"$PYSPARK_PYTHON" - "$package" << 'EOF'
import pathlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as package:
    for module in sorted([*pathlib.Path("jobs").rglob("*.py"), *pathlib.Path("lib").rglob("*.py")]):
        package.write(module)
EOF
mv -f "$package" "$build/clienteling.zip"
main=jobs/__main__.py
if [[ $job == benchmark ]]; then
  (($#)) || fail "name a benchmark: $(cd tests/benchmarks && echo *.py | sed 's/\.py//g')"
  main=tests/benchmarks/$1.py
  [[ -f $main ]] || fail "there is no benchmark $1; there are $(cd tests/benchmarks && echo *.py | sed 's/\.py//g')"
  shift
else
  set -- "$job" "$@"
fi
jars=${jars%,}
# the Thrift server's threads don't look where --jars puts them
[[ $job != serve || -z $jars ]] || class_path=:${jars//,/:}$class_path
exec "$SPARK_HOME/bin/spark-submit" ${jars:+--jars "$jars"} ${class_path:+--driver-class-path "${class_path#:}"} \
  --py-files "$build/clienteling.zip$more_files" ${submit[@]+"${submit[@]}"} "$main" "$@"
