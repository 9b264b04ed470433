#!/usr/bin/env python3
"""Compares the query engine with Prometheus' on random data and queries; see README.md."""

import argparse, random, re, struct, subprocess

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--ours", required=True)
parser.add_argument("--theirs", required=True)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--count", type=int, default=600)
parser.add_argument("--delayed", action="store_true")
parser.add_argument("--histograms", action="store_true", help="half of the selectors are of native histograms")
options = parser.parse_args()
seed = options.seed
n = options.count
delayed = options.delayed
R = random.Random(seed)


def val():
    """A sample of a gauge: mostly a number, at times a gap, a marker, NaN, an infinity."""
    r = R.random()
    if r < 0.05:
        return "NaN"
    if r < 0.07:
        return R.choice(["Inf", "-Inf", "0", "-0"])
    if r < 0.12:
        return "stale"
    if r < 0.22:
        return "_"
    if r < 0.5:
        return str(R.randint(-20, 20))
    if r < 0.55:
        return "%g" % (R.uniform(-1, 1) * 10 ** R.randint(-10, 300))
    return repr(R.uniform(-100, 100))


def counter(k):
    """k samples of a counter with resets, gaps and markers."""
    v = 0
    o = []
    for _ in range(k):
        r = R.random()
        if r < 0.1:
            v = R.choice([0, R.uniform(0, 5)])
        elif r < 0.15:
            o.append("_")
            continue
        elif r < 0.18:
            o.append("stale")
            continue
        v += R.choice([0, 1, R.uniform(0, 20)])
        o.append(repr(v))
    return o


HISTOGRAMS = ["nh", "ng", "nc", "mx"]


def histogram(kind, state):
    """A native histogram: nh grows and is reset at times, ng is a gauge, nc has custom bounds."""
    if kind == "nc":
        bounds = R.choice([[1, 2, 5], [1, 2, 5], [1, 2, 5], [0.5, 2, 5, 10], [-1, 0, 2]])
        fields = ["schema:-53", "custom_values:[%s]" % " ".join(map(str, bounds))]
        size = len(bounds) + 1
    else:
        fields = ["schema:%d" % R.choice([0, 0, 0, 1, 2, -1])]
        size = R.randint(1, 5)
        if R.random() < 0.6:
            fields.append("z_bucket_w:%g" % R.choice([0.001, 0.001, 0.001, 0.5, 1, 3]))
            fields.append("z_bucket:%d" % R.randint(0, 5))
        if R.random() < 0.4:
            fields.append("n_offset:%d" % R.randint(-2, 2))
            fields.append("n_buckets:[%s]" % " ".join(str(R.randint(0, 9)) for _ in range(R.randint(1, 3))))
        if R.random() < 0.5:
            fields.append("offset:%d" % R.randint(-3, 3))
    if kind == "ng":
        counts = [R.choice([0, R.randint(0, 20), R.uniform(0, 9)]) for _ in range(size)]
        fields.append("counter_reset_hint:gauge")
    else:
        if R.random() < 0.12:
            state.clear()
        for i in range(size):
            state[i] = state.get(i, 0) + R.choice([0, 1, R.randint(0, 9), R.uniform(0, 3)])
        counts = [state[i] for i in range(size)]
        if R.random() < 0.1:
            fields.append("counter_reset_hint:%s" % R.choice(["reset", "not_reset", "gauge", "unknown"]))
    fields.append("buckets:[%s]" % " ".join(map(repr, counts)))
    fields.append("count:%r" % (sum(counts) + R.choice([0, 0, 3])))
    fields.append("sum:%s" % R.choice(["NaN", repr(R.uniform(-50, 500)), str(R.randint(0, 99))]))
    R.shuffle(fields)
    return "{{" + " ".join(fields) + "}}"


def histograms(kind, k):
    """k samples of a series of histograms; mx has floats between them."""
    state = {}
    last = None
    o = []
    for _ in range(k):
        r = R.random()
        if r < 0.08:
            o.append("_")
        elif r < 0.12:
            o.append("stale")
        elif kind == "mx" and r < 0.5:
            o.append(str(R.randint(-5, 30)))
        elif last is not None and r < 0.7:
            o.append(last)
        else:
            last = histogram(R.choice(["nh", "nh", "ng", "nc"]) if kind == "mx" else kind, state)
            o.append(last)
    return o


def histogram_data():
    """Appends a load command for each of the metrics of native histograms."""
    for m in HISTOGRAMS:
        out.append("")
        out.append("load " + R.choice(["10s", "15s", "30s", "1m"]))
        k = R.randint(5, 30)
        for a in "12":
            for b in "xyz":
                if R.random() < 0.8:
                    out.append('  %s{a="%s",b="%s"} %s' % (m, a, b, " ".join(histograms(m, k))))
    out.append("")


out = []


def data():
    """Appends load commands for six metrics, each at two different steps."""
    out.append("")
    for m in ["m", "n", "c_total", "h_bucket", "p", "q"]:
        for step in R.sample(["10s", "15s", "7s", "30s", "1m"], 2):
            out.append("")
            out.append("load " + step)
            K = R.randint(5, 60)
            for a in "12":
                for b in "xyz":
                    if R.random() < 0.3:
                        continue
                    if m in ("m", "n", "q"):
                        vs = [val() for _ in range(K)]
                    elif m == "p":
                        vs = [str(R.randint(0, 3)) if R.random() < 0.9 else "_" for _ in range(K)]
                    else:
                        vs = counter(K)
                    if m == "h_bucket":
                        for le in R.sample(["0", "1", "2.5", "5", "10", "+Inf", "-1"], R.randint(2, 6)):
                            out.append(
                                '  h_bucket{a="%s",b="%s",le="%s"} %s' % (a, b, le, " ".join(counter(K)))
                            )
                    else:
                        out.append('  %s{a="%s",b="%s"} %s' % (m, a, b, " ".join(vs)))
    targets()
    out.append("")
    if options.histograms:
        histogram_data()


def targets():
    """Series of targets, and info series about them that change and at times contradict each other."""
    for step in R.sample(["10s", "15s", "30s", "1m"], 2):
        out.append("")
        out.append("load " + step)
        K = R.randint(5, 40)
        for i in "12":
            for j in "uv":
                target = 'instance="%s",job="%s"' % (i, j)
                if R.random() < 0.8:
                    out.append("  w{%s} %s" % (target, " ".join(val() for _ in range(K))))
                for name, label in (("target_info", "data"), ("build_info", "version"), ("x_info", "data")):
                    if R.random() < 0.5:
                        vs = [R.choice(["1", "1", "1", "_", "stale"]) for _ in range(K)]
                        out.append('  %s{%s,%s="%s"} %s' % (name, target, label, R.choice("ab"), " ".join(vs)))


def dur():
    return R.choice(["10s", "15s", "30s", "37s", "1m", "90s", "2m", "5m", "1500ms"])


def mods():
    s = ""
    r = R.random()
    if r < 0.15:
        s += " offset " + R.choice(["", "-"]) + dur()
    if R.random() < 0.12:
        s += " @ " + R.choice(["60", "100", "0", "123.456", "start()", "end()"])
    return s


def matchers():
    r = R.random()
    if r < 0.4:
        return ""
    return (
        "{"
        + ",".join(
            R.sample(
                ['a="1"', 'b=~"x|y"', 'b!="z"', 'a!~"2"', 'a=~".*"', 'b="x"', 'a="2"', 'zz=""'],
                R.randint(1, 2),
            )
        )
        + "}"
    )


def sel():
    if R.random() < 0.06:
        return '{__name__=~"%s"%s}' % (R.choice(["m|n", "p|q", ".+", "m", "n|p"]), R.choice(["", ',a="1"']))
    if options.histograms and R.random() < 0.6:
        return R.choice(HISTOGRAMS) + matchers()
    return R.choice(["m", "n", "c_total", "p", "q"]) + matchers()


def lab():
    return R.choice(["", "a", "b", "a,b", "__name__", "zz", "a,zz"])


WF = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "changes",
    "resets",
    "deriv",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "first_over_time",
    "present_over_time",
    "mad_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "absent_over_time",
]


def rng(d):
    """A range vector: a selector or a subquery, d levels deep at most."""
    if R.random() < 0.75 or d <= 0:
        return sel() + "[" + dur() + "]" + mods()
    return (
        "("
        + vec(d - 1)
        + ")["
        + R.choice(["1m", "2m", "5m"])
        + ":"
        + R.choice(["", "10s", "15s", "13s", "30s"])
        + "]"
        + mods()
    )


def sc(d):
    """A scalar expression."""
    r = R.random()
    if r < 0.5 or d <= 0:
        return R.choice(["0", "1", "2", "0.5", "-1", "NaN", "Inf", "-Inf", "3.7", "1e10"])
    if r < 0.6:
        return "time()"
    if r < 0.8:
        return "scalar(" + vec(d - 1) + ")"
    if r < 0.9:
        return "(%s %s %s)" % (sc(d - 1), R.choice(["+", "-", "*", "/", "%"]), sc(d - 1))
    return "-" + sc(d - 1)


def by():
    return R.choice(["", "by (%s)" % lab(), "without (%s)" % lab()])


def edges():
    """A call whose range begins and ends at its edges."""
    f, edge = R.choice(
        [("rate", "anchored"), ("increase", "anchored"), ("delta", "anchored"), ("changes", "anchored")]
        + [("resets", "anchored"), ("rate", "smoothed"), ("increase", "smoothed"), ("delta", "smoothed")]
        + [("changes", "smoothed"), ("sum_over_time", "anchored")]
    )
    return "%s(%s[%s] %s%s)" % (f, sel(), dur(), edge, mods())


def info(d):
    """Labels of info series for series of targets."""
    base = R.choice(["w", 'w{instance="1"}', "-w", "sum by (instance, job) (w)", "sum by (job) (w)", "build_info"])
    if base[0] == "w" and d > 0:
        base = R.choice([base + mods(), "rate(w[%s]%s)" % (dur(), mods()), "w or " + vec(d - 1)])
    labels = R.choice(
        ["", ", {}", ', {data="a"}', ', {data=~".+"}', ', {data=~".*"}', ', {__name__="build_info"}']
        + [', {__name__=~".+_info"}', ', {__name__!="target_info"}', ', {__name__=~"target_.*|build_.*",version="b"}']
    )
    return "info(%s%s)" % (base, labels)


def vec(d):
    """An instant vector expression."""
    r = R.random()
    if R.random() < 0.08:
        return R.choice([edges(), edges(), info(d), sel() + " smoothed" + mods(), sel() + " anchored" + mods()])
    if options.histograms and d > 0 and R.random() < 0.2:
        return R.choice(
            [
                "histogram_quantile(%s, %s)" % (R.choice(["0", "0.1", "0.5", "0.9", "1", "2", sc(1)]), vec(d - 1)),
                "histogram_fraction(%s, %s, %s)"
                % (R.choice(["-Inf", "-1", "0", "0.7"]), R.choice(["0", "1", "2.5", "Inf"]), vec(d - 1)),
                "%s(%s)" % (R.choice(["histogram_count", "histogram_sum", "histogram_avg"]), vec(d - 1)),
                "%s(%s)" % (R.choice(["histogram_stddev", "histogram_stdvar"]), vec(d - 1)),
                "(%s %s %s)" % (vec(d - 1), R.choice(["</", ">/"]), sc(d - 1)),
                'histogram_quantiles(%s, "q", 0.1, 0.9)' % vec(d - 1),
            ]
        )
    if d <= 0 or r < 0.12:
        return sel() + mods()
    if r < 0.36:
        f = R.choice(WF)
        return f + "(" + rng(d - 1) + ")"
    if r < 0.42:
        return R.choice(
            [
                "quantile_over_time(%s, %s)" % (sc(1), rng(d - 1)),
                "predict_linear(%s, %s)" % (rng(d - 1), sc(1)),
                "double_exponential_smoothing(%s, 0.3, 0.6)" % rng(d - 1),
            ]
        )
    if r < 0.56:
        return "%s %s (%s)" % (
            R.choice(["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"]),
            by(),
            vec(d - 1),
        )
    if r < 0.63:
        op = R.choice(["topk", "bottomk", "quantile", "limitk"])
        return "%s %s (%s, %s)" % (
            op,
            by(),
            sc(d - 1) if R.random() < 0.3 else R.choice(["1", "2", "3", "0.5"]),
            vec(d - 1),
        )
    if r < 0.65:
        return 'count_values %s ("v", %s)' % (by(), vec(d - 1))
    if r < 0.72:
        return "%s(%s)" % (
            R.choice(
                [
                    "abs",
                    "ceil",
                    "floor",
                    "sqrt",
                    "sgn",
                    "round",
                    "-",
                    "+",
                    "sort",
                    "sort_desc",
                    "timestamp",
                    "absent",
                    "deg",
                    "day_of_week",
                    "minute",
                    "hour",
                    "month",
                    "year",
                ]
            ),
            vec(d - 1),
        )
    if r < 0.75:
        return R.choice(
            [
                "clamp(%s, %s, %s)" % (vec(d - 1), sc(1), sc(1)),
                "clamp_min(%s, %s)" % (vec(d - 1), sc(1)),
                "clamp_max(%s, %s)" % (vec(d - 1), sc(1)),
                "round(%s, %s)" % (vec(d - 1), sc(1)),
            ]
        )
    if r < 0.80:
        return "(%s %s %s)" % (
            vec(d - 1),
            R.choice(
                ["+", "-", "*", "/", "%", ">", "<", "==", "!=", ">=", "<=", "> bool", "== bool", "<= bool"]
            ),
            sc(d - 1),
        )
    if r < 0.83:
        return "(%s %s %s)" % (
            sc(d - 1),
            R.choice(["+", "-", "*", "/", "%", ">", "<", "==", "> bool"]),
            vec(d - 1),
        )
    if r < 0.93:
        op = R.choice(["+", "-", "*", "/", "%", ">", "<", "==", "!=", "> bool", "== bool"])
        m = R.choice(["", "", "on(%s)" % lab(), "ignoring(%s)" % lab(), "on(a,b)"])
        if m and R.random() < 0.4:
            g = R.choice(["", "a", "b", "zz"])
            if not (m.startswith("on") and g and g in m):
                m += " " + R.choice(["group_left", "group_right"]) + "(%s)" % g
        if R.random() < 0.3:
            m += " " + R.choice(["fill(1)", "fill_left(2)", "fill_right(-1)", "fill_left(3) fill_right(NaN)"])
        l = vec(d - 1)
        rr = vec(d - 1)
        return "(%s %s %s %s)" % (l, op, m, rr)
    if r < 0.97:
        return "(%s %s %s %s)" % (
            vec(d - 1),
            R.choice(["and", "or", "unless"]),
            R.choice(["", "on(a)", "on()", "ignoring(b)", "ignoring(a)"]),
            vec(d - 1),
        )
    if r < 0.985:
        return R.choice(
            [
                'label_replace(%s, "zz", "$1", "b", "(.)")',
                'label_replace(%s, "b", "k", "b", "x")',
                'label_replace(%s, "__name__", "r$1", "a", "(.*)")',
                'label_join(%s, "zz", "-", "a", "b")',
                'label_join(%s, "a", "-")',
            ]
        ) % vec(d - 1)
    return R.choice(
        [
            "histogram_quantile(%s, %s)"
            % (
                sc(1),
                R.choice(
                    [
                        "h_bucket",
                        "rate(h_bucket[1m])",
                        "sum by (le,a) (increase(h_bucket[2m]))",
                        "sum by (le) (h_bucket)",
                    ]
                ),
            ),
            'histogram_quantiles(%s, "zz", %s, %s)'
            % (
                R.choice(["h_bucket", "rate(h_bucket[1m])", "sum by (le,a) (increase(h_bucket[2m]))"]),
                sc(1),
                R.choice(["0.25", "0.9", "1", sc(1)]),
            ),
            "histogram_fraction(%s, %s, %s)"
            % (sc(0), sc(0), R.choice(["h_bucket", "sum by (le) (h_bucket)", "increase(h_bucket[1m])"])),
            "vector(%s)" % sc(d - 1),
        ]
    )


data()
for i in range(n):
    if i % 150 == 149:
        out.append("clear")
        data()
    q = vec(R.randint(1, 3))
    if R.random() < 0.5:
        out.append("eval instant at %s %s" % (R.choice(["0", "1m", "100", "5m", "7m", "20m", "123"]), q))
    else:
        out.append(
            "eval range from %s to %s step %s %s"
            % (
                R.choice(["0", "30s", "1m"]),
                R.choice(["5m", "10m", "2m"]),
                R.choice(["15s", "30s", "1m", "17s"]),
                q,
            )
        )
    out.append("")
txt = "\n".join(out)
a = subprocess.run(
    [options.ours] + (["delayed"] if delayed else []), input=txt, capture_output=True, text=True
)
b = subprocess.run(
    [options.theirs] + (["delayed"] if delayed else []), input=txt, capture_output=True, text=True
)
if a.returncode:
    print("OURS FAILED", a.stderr[-2000:])
if b.returncode:
    print("ORACLE FAILED", b.stderr[-2000:])
A = a.stdout.split("## ")[1:]
B = b.stdout.split("## ")[1:]
assert len(A) == len(B), (len(A), len(B))


def ulps(x, y):
    """How many doubles lie between two, given as bits."""
    if x == "NaN" or y == "NaN":
        return 0 if x == y else 10**9
    x = struct.unpack(">q", bytes.fromhex(x))[0]
    y = struct.unpack(">q", bytes.fromhex(y))[0]
    return abs(x - y)


LABELS = re.compile(r'\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}')
POINT = re.compile(r" (-?\d+:(?:\{\{.*?\}\}|\S+))")
NUMBER = re.compile(r"[-+]?(?:Inf|NaN|\d[\d.]*(?:e[-+]\d+)?)")


def histogram_ulps(x, y):
    """The same of two histograms; far apart if they differ in anything but numbers."""
    if x == y:
        return 0
    xs, ys = NUMBER.findall(x), NUMBER.findall(y)
    if NUMBER.sub("", x) != NUMBER.sub("", y) or len(xs) != len(ys):
        return 10**9
    return max(ulps(bits(float(p)), bits(float(q))) for p, q in zip(xs, ys))


def bits(x):
    return "NaN" if x != x else struct.pack(">d", x).hex()


def parse(bl):
    """A printed evaluation as (query, error, annotations, series)."""
    ls = bl.split("\n")
    err = None
    ann = []
    ser = {}
    for l in ls[1:]:
        if not l:
            continue
        if l.startswith("error "):
            err = l
        elif " has NaN observations" in l:
            ann.append(re.sub(r" \(\d+:\d+\)$", "", l))
        elif l.startswith("warning ") or l.startswith("info "):
            ann.append(l)
        else:
            k = 6 if l.startswith("scalar") else len(LABELS.match(l).group())
            ser[l[:k]] = POINT.findall(l[k:])
    return ls[0], err, sorted(ann), ser


stats = dict(same=0, err=0, ulp=0, bad=0, ann=0, errboth=0, refused=0)
shown = 0
for x, y in zip(A, B):
    qa, ea, aa, sa = parse(x)
    qb, eb, ab, sb = parse(y)
    assert qa == qb, (qa, qb)
    kind = None
    if ea is not None and "not supported yet" in ea:
        stats["refused"] += 1
        continue
    if (ea is None) != (eb is None):
        kind = "bad"
    elif ea is not None:
        stats["errboth"] += 1
        if ea != eb and not ("found duplicate" in ea and "found duplicate" in eb):
            kind = "err"
    else:
        if set(sa) != set(sb):
            kind = "bad"
        else:
            mx = 0
            for k in sa:
                if len(sa[k]) != len(sb[k]):
                    kind = "bad"
                    break
                for p, q_ in zip(sa[k], sb[k]):
                    t1, v1 = p.split(":", 1)
                    t2, v2 = q_.split(":", 1)
                    if t1 != t2 or v1.startswith("{{") != v2.startswith("{{"):
                        kind = "bad"
                        break
                    mx = max(mx, histogram_ulps(v1, v2) if v1.startswith("{{") else ulps(v1, v2))
            if kind is None and mx:
                kind = "ulp" if mx < 64 else "bad"
        if kind is None and aa != ab and not any("monotonicity" in w for w in ab):
            kind = "ann"
    if kind is None:
        stats["same"] += 1
    else:
        stats[kind] += 1
        if kind != "ulp" and shown < 6:
            shown += 1
            print("-----", kind, qa)
            print("ours  ", x[len(qa) :][:600])
            print("theirs", y[len(qb) :][:600])
print(seed, stats)
