package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

type fs struct {
	t  int64
	f  float64
	st int64
}

func (s fs) T() int64                      { return s.t }
func (s fs) ST() int64                     { return s.st }
func (s fs) F() float64                    { return s.f }
func (s fs) H() *histogram.Histogram       { return nil }
func (s fs) FH() *histogram.FloatHistogram { return nil }
func (s fs) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s fs) Copy() chunks.Sample           { return s }

type hs struct {
	t  int64
	h  *histogram.FloatHistogram
	st int64
}

func (s hs) T() int64                { return s.t }
func (s hs) ST() int64               { return s.st }
func (s hs) F() float64              { return 0 }
func (s hs) H() *histogram.Histogram { return nil }

// The engine writes into what it gets.
func (s hs) FH() *histogram.FloatHistogram { return s.h.Copy() }
func (s hs) Type() chunkenc.ValueType      { return chunkenc.ValFloatHistogram }
func (s hs) Copy() chunks.Sample           { return hs{s.t, s.h.Copy(), s.st} }

type ser struct {
	l  labels.Labels
	m  map[int64]float64
	h  map[int64]*histogram.FloatHistogram
	st map[int64]int64
}

// known is what our memory source says about a reset between two samples in a row.
func known(before, h *histogram.FloatHistogram) histogram.CounterResetHint {
	if h.CounterResetHint == histogram.GaugeType || h.CounterResetHint == histogram.CounterReset {
		return h.CounterResetHint
	}
	if before == nil || before.CounterResetHint == histogram.GaugeType ||
		before.Schema != h.Schema || before.ZeroThreshold != h.ZeroThreshold {
		return histogram.UnknownCounterReset
	}
	c := h.Copy()
	c.CounterResetHint = histogram.UnknownCounterReset
	if c.DetectReset(before) {
		return histogram.UnknownCounterReset
	}
	return histogram.NotCounterReset
}

func (s *ser) samples() []chunks.Sample {
	ts := make([]int64, 0, len(s.m)+len(s.h))
	for t := range s.m {
		ts = append(ts, t)
	}
	for t := range s.h {
		ts = append(ts, t)
	}
	sort.Slice(ts, func(i, j int) bool { return ts[i] < ts[j] })
	var smp []chunks.Sample
	var before *histogram.FloatHistogram
	for _, t := range ts {
		if h, ok := s.h[t]; ok {
			c := h.Copy()
			c.CounterResetHint = known(before, h)
			before = c
			smp = append(smp, hs{t, c, s.st[t]})
			continue
		}
		before = nil
		smp = append(smp, fs{t, s.m[t], s.st[t]})
	}
	return smp
}

func side(w *strings.Builder, it histogram.BucketIterator[float64], offset, name string) {
	first := true
	next := int32(0)
	for it.Next() {
		b := it.At()
		if first {
			fmt.Fprintf(w, " %s:%d %s:[", offset, b.Index, name)
			next = b.Index
		}
		if !first {
			w.WriteString(" ")
		}
		for ; next < b.Index; next++ {
			w.WriteString("0 ")
		}
		fmt.Fprintf(w, "%g", b.Count)
		next = b.Index + 1
		first = false
	}
	if !first {
		w.WriteString("]")
	}
}

func text(h *histogram.FloatHistogram) string {
	var w strings.Builder
	fmt.Fprintf(&w, "{{schema:%d count:%g sum:%g z_bucket:%g z_bucket_w:%g", h.Schema, h.Count, h.Sum, h.ZeroCount, h.ZeroThreshold)
	side(&w, h.PositiveBucketIterator(), "offset", "buckets")
	side(&w, h.NegativeBucketIterator(), "n_offset", "n_buckets")
	for i, v := range h.CustomValues {
		if i == 0 {
			fmt.Fprintf(&w, " custom_values:[%g", v)
		} else {
			fmt.Fprintf(&w, " %g", v)
		}
	}
	if len(h.CustomValues) > 0 {
		w.WriteString("]")
	}
	fmt.Fprintf(&w, " counter_reset_hint:%s}}", []string{"unknown", "reset", "not_reset", "gauge"}[h.CounterResetHint])
	return w.String()
}

type db struct {
	s   []*ser
	idx map[string]*ser
}

func (d *db) Querier(mint, maxt int64) (storage.Querier, error) { return &q{d, mint, maxt}, nil }

type q struct {
	d          *db
	mint, maxt int64
}

func (q *q) Close() error { return nil }
func (q *q) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}
func (q *q) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}
func (q *q) Select(_ context.Context, _ bool, h *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	var out []storage.Series
	for _, s := range q.d.s {
		ok := true
		for _, m := range ms {
			if !m.Matches(s.l.Get(m.Name)) {
				ok = false
				break
			}
		}
		if !ok {
			continue
		}
		out = append(out, storage.NewListSeries(s.l, s.samples()))
	}
	sort.Slice(out, func(i, j int) bool { return labels.Compare(out[i].Labels(), out[j].Labels()) < 0 })
	return &set{s: out, i: -1}
}

type set struct {
	s []storage.Series
	i int
}

func (s *set) Next() bool                        { s.i++; return s.i < len(s.s) }
func (s *set) At() storage.Series                { return s.s[s.i] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

func dur(s string) time.Duration {
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d)
	}
	var f float64
	if strings.HasPrefix(s, "-") {
		return -dur(s[1:])
	}
	fmt.Sscanf(s, "%g", &f)
	return time.Duration(f * float64(time.Second))
}
func hex(f float64) string {
	if math.IsNaN(f) {
		return "NaN"
	}
	return fmt.Sprintf("%016x", math.Float64bits(f))
}

func main() {
	delayed := len(os.Args) > 1 && os.Args[1] == "delayed"
	d := &db{idx: map[string]*ser{}}
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true, ExperimentalDurationExpr: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true})
	mk := func(delayed bool) *promql.Engine {
		return promql.NewEngine(promql.EngineOpts{MaxSamples: 50000000, Timeout: 100 * time.Second, EnableAtModifier: true, EnableNegativeOffset: true, EnableDelayedNameRemoval: delayed, UseStartTimestamps: true,
			NoStepSubqueryIntervalFn: func(int64) int64 { return 60000 }, Parser: p})
	}
	eng := mk(delayed)
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<20), 1<<26)
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	var step time.Duration
	loading := false
	var starts []string // of the next series
	body := false
	for sc.Scan() {
		line := sc.Text()
		tl := strings.TrimSpace(line)
		if tl == "" || tl[0] == '#' {
			loading = false
			body = false
			continue
		}
		if body {
			continue
		}
		if strings.HasPrefix(tl, "option ") {
			delayed = strings.HasSuffix(tl, "on")
			eng = mk(delayed)
			continue
		}
		switch {
		case tl == "clear":
			d.s = nil
			d.idx = map[string]*ser{}
			loading = false
		case strings.HasPrefix(tl, "load "):
			step = dur(strings.TrimSpace(tl[5:]))
			loading = true
		case strings.HasPrefix(tl, "eval "):
			loading = false
			body = true
			f := strings.SplitN(tl, " ", 9)
			var qry promql.Query
			var err error
			if f[1] == "instant" {
				f = strings.SplitN(tl, " ", 5)
				qry, err = eng.NewInstantQuery(context.Background(), d, nil, f[4], time.Unix(0, 0).UTC().Add(dur(f[3])))
			} else {
				qry, err = eng.NewRangeQuery(context.Background(), d, nil, f[8], time.Unix(0, 0).UTC().Add(dur(f[3])), time.Unix(0, 0).UTC().Add(dur(f[5])), dur(f[7]))
			}
			fmt.Fprintf(w, "## %s\n", tl)
			if err != nil {
				fmt.Fprintf(w, "error %s\n", err)
				continue
			}
			res := qry.Exec(context.Background())
			if res.Err != nil {
				fmt.Fprintf(w, "error %s\n", res.Err)
			} else {
				switch v := res.Value.(type) {
				case promql.Scalar:
					fmt.Fprintf(w, "scalar %d:%s\n", v.T, hex(v.V))
				case promql.String:
					fmt.Fprintf(w, "string %q\n", v.V)
				case promql.Vector:
					for _, s := range v {
						if s.H != nil {
							fmt.Fprintf(w, "%s %d:%s\n", s.Metric, s.T, text(s.H))
							continue
						}
						fmt.Fprintf(w, "%s %d:%s\n", s.Metric, s.T, hex(s.F))
					}
				case promql.Matrix:
					for _, s := range v {
						fmt.Fprintf(w, "%s", s.Metric)
						for f, h := 0, 0; f < len(s.Floats) || h < len(s.Histograms); {
							if h == len(s.Histograms) || (f < len(s.Floats) && s.Floats[f].T < s.Histograms[h].T) {
								fmt.Fprintf(w, " %d:%s", s.Floats[f].T, hex(s.Floats[f].F))
								f++
							} else {
								fmt.Fprintf(w, " %d:%s", s.Histograms[h].T, text(s.Histograms[h].H))
								h++
							}
						}
						fmt.Fprintln(w)
					}
				}
			}
			ws, is := res.Warnings.AsStrings(f[len(f)-1], 0, 0)
			sort.Strings(ws)
			sort.Strings(is)
			for _, x := range ws {
				fmt.Fprintf(w, "warning %s\n", x)
			}
			for _, x := range is {
				fmt.Fprintf(w, "info %s\n", x)
			}
			qry.Close()
		case loading && strings.HasSuffix(strings.SplitN(tl, " ", 2)[0], "@st"):
			starts = strings.Fields(strings.SplitN(tl, " ", 2)[1])
		case loading:
			m, vs, err := p.ParseSeriesDesc(tl)
			if err != nil {
				panic(err)
			}
			s := d.idx[m.String()]
			if s == nil {
				s = &ser{m, map[int64]float64{}, map[int64]*histogram.FloatHistogram{}, map[int64]int64{}}
				d.idx[m.String()] = s
				d.s = append(d.s, s)
			}
			for i, v := range vs {
				if v.Histogram != nil || !v.Omitted {
					t := int64(i) * step.Milliseconds()
					delete(s.st, t)
					if starts != nil && starts[i] != "_" {
						s.st[t] = t + dur(starts[i]).Milliseconds()
					}
				}
				if v.Histogram != nil {
					s.h[int64(i)*step.Milliseconds()] = v.Histogram
				} else if !v.Omitted {
					s.m[int64(i)*step.Milliseconds()] = v.Value
				}
			}
			starts = nil
		default:
			panic(tl)
		}
	}
}
