"""Two pictures of what bench/table measured, by gnuplot."""
import os
import subprocess

STYLE = """set terminal svg size 760,460 background "white" font "sans,13"
set grid back linecolor rgb "#dddddd"
set border 3
set tics nomirror
set key left top
set style data linespoints
set pointsize 0.7
"""

RATE = """set output "rate.svg"
set title "Calls a second against calls in flight"
set logscale x 2
set xlabel "calls in flight"
set ylabel "million calls a second"
set yrange [0:*]
plot "rate.dat" using 1:($2/1e6) title "Tela" linewidth 2, "rate.dat" using 1:($3/1e6) title "floor: no protocol" dashtype 2
"""

LATENCY = """set output "latency.svg"
set title "Latency against load (open loop, from when a call was due)"
set logscale y
set xlabel "million calls a second asked for"
set ylabel "microseconds"
plot "latency.dat" using ($1/1e6):2 title "p50" linewidth 2, "" using ($1/1e6):3 title "p99", "" using ($1/1e6):4 title "p99.9"
"""


def write(folder, name, rows):
    with open(os.path.join(folder, name), 'w') as f:
        for row in rows:
            f.write(' '.join(f'{v:.9g}' for v in row) + '\n')


def draw(folder, curves):
    """rate.svg and latency.svg, beside the figures that they show."""
    os.makedirs(folder, exist_ok=True)
    write(folder, 'rate.dat', [(r['in_flight'], r['tela'], r['floor']) for r in curves['rate']])
    write(folder, 'latency.dat', [(r['asked'], r['p50'], r['p99'], r['p99_9']) for r in curves['latency']])
    for script in (RATE, LATENCY):
        subprocess.run(['gnuplot'], input=STYLE + script, text=True, cwd=folder, check=True)
