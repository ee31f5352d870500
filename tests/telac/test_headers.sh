#!/bin/sh
# test_headers.sh SCHEMAS DATAPLANE HEADER... - each generated header compiles alone, C11 and C++17,
# without a warning, with gcc and clang where they are there.
set -eu
schemas=$1 dataplane=$2
shift 2
where=$(mktemp -d)
trap 'rm -rf "$where"' EXIT
failed=0

# what the compiler sees is an include, as it is for everyone else
for header; do
	case $header in
	/*) path=$header ;;
	*) path=$PWD/$header ;;
	esac
	printf '#include "%s"\n' "$path" >"$where/x.c"
	cp "$where/x.c" "$where/x.cc"
	for compile in 'gcc -std=c11' 'clang -std=c11' 'g++ -std=c++17' 'clang++ -std=c++17'; do
		command -v "${compile%% *}" >/dev/null || continue
		source=$where/x.c
		case $compile in *++*) source=$where/x.cc ;; esac
		$compile -Wall -Wextra -Wconversion -Werror -fsyntax-only -I"$schemas" -I"$dataplane" \
			-I"$(dirname "$path")" "$source" || failed=1
	done
done
exit $failed
