// Reads what dump.c prints with Prometheus' own decoders, and encodes it again with Prometheus' own encoders.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

func must(ok bool, format string, values ...any) {
	if !ok {
		panic(fmt.Sprintf(format, values...))
	}
}

func open(encoding, data string) chunkenc.Chunk {
	number, _ := strconv.Atoi(encoding)
	raw, _ := hex.DecodeString(data)
	chunk, err := chunkenc.FromData(chunkenc.Encoding(number), raw)
	must(err == nil, "%v", err)
	return chunk
}

func checkFloats(chunk chunkenc.Chunk, fields []string) (samples int) {
	again, _ := chunkenc.NewEmptyChunk(chunk.Encoding())
	appender, _ := again.Appender()
	iterator := chunk.Iterator(nil)
	for ; iterator.Next() == chunkenc.ValFloat; samples++ {
		at, v := iterator.At()
		wantAt, _ := strconv.ParseInt(fields[3*samples], 10, 64)
		wantBits, _ := strconv.ParseUint(fields[3*samples+1], 16, 64)
		wantStart, _ := strconv.ParseInt(fields[3*samples+2], 10, 64)
		start := iterator.AtST()
		must(at == wantAt && math.Float64bits(v) == wantBits && start == wantStart, "sample %d: %d %x %d", samples, at, math.Float64bits(v), start)
		appender.Append(start, at, v)
	}
	must(iterator.Err() == nil, "%v", iterator.Err())
	must(string(again.Bytes()) == string(chunk.Bytes()), "Prometheus encodes it otherwise")
	return samples
}

// What dump.c prints of a histogram.
func text(at, start int64, h *histogram.FloatHistogram) string {
	fields := []string{strconv.FormatInt(at, 10), strconv.FormatInt(start, 10), bits(h.Sum)}
	if value.IsStaleNaN(h.Sum) {
		return strings.Join(fields, " ")
	}
	fields = append(fields, bits(h.ZeroThreshold), strconv.Itoa(int(h.Schema)), bits(h.Count), bits(h.ZeroCount))
	for _, count := range append(append([]float64{}, h.PositiveBuckets...), h.NegativeBuckets...) {
		fields = append(fields, bits(count))
	}
	return strings.Join(fields, " ")
}

func bits(v float64) string { return strconv.FormatUint(math.Float64bits(v), 16) }

// The iterator says of a staleness marker neither that it is one of a gauge nor that nothing was reset.
func hint(sum float64, said histogram.CounterResetHint, gauges bool) histogram.CounterResetHint {
	if gauges && value.IsStaleNaN(sum) {
		return histogram.GaugeType
	}
	return said
}

func checkHistograms(chunk chunkenc.Chunk, want []string) (samples int) {
	again, _ := chunkenc.NewEmptyChunk(chunk.Encoding())
	appender, _ := again.Appender()
	flags := chunk.Bytes()[2]
	if chunk.Encoding() == chunkenc.EncHistogramST || chunk.Encoding() == chunkenc.EncFloatHistogramST {
		flags = chunk.Bytes()[0]
	}
	gauges := flags>>6 == 3
	iterator := chunk.Iterator(nil)
	for kind := iterator.Next(); kind != chunkenc.ValNone; kind = iterator.Next() {
		at, h := iterator.AtFloatHistogram(nil)
		start := iterator.AtST()
		must(text(at, start, h) == want[samples], "histogram %d: %s, not %s", samples, text(at, start, h), want[samples])
		var next chunkenc.Chunk
		var err error
		if kind == chunkenc.ValHistogram {
			at, h := iterator.AtHistogram(nil)
			h.CounterResetHint = hint(h.Sum, h.CounterResetHint, gauges)
			next, _, _, err = appender.AppendHistogram(nil, start, at, h, true)
		} else {
			h.CounterResetHint = hint(h.Sum, h.CounterResetHint, gauges)
			next, _, _, err = appender.AppendFloatHistogram(nil, start, at, h, true)
		}
		must(err == nil && next == nil, "Prometheus would begin another chunk: %v", err)
		samples++
	}
	must(iterator.Err() == nil, "%v", iterator.Err())
	must(string(again.Bytes()) == string(chunk.Bytes()), "Prometheus encodes it otherwise")
	return samples
}

func check(line string) int {
	fields := strings.SplitN(line, " ", 4)
	chunk := open(fields[0], strings.TrimSpace(fields[2]))
	count, _ := strconv.Atoi(fields[1])
	samples := 0
	if chunk.Encoding() == chunkenc.EncXOR || chunk.Encoding() == chunkenc.EncXOR2 {
		samples = checkFloats(chunk, strings.Fields(fields[3]))
	} else {
		samples = checkHistograms(chunk, strings.Split(strings.TrimPrefix(fields[3], "| "), " | "))
	}
	must(samples == count && chunk.NumSamples() == count, "%d of %d samples", samples, count)
	return samples
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	chunks, samples := map[string]int{}, map[string]int{}
	for lines.Scan() {
		kind := lines.Text()[:1]
		samples[kind] += check(lines.Text())
		chunks[kind]++
	}
	for kind, count := range chunks {
		fmt.Println("encoding", kind+":", count, "chunks,", samples[kind], "samples: read back, and byte for byte what Prometheus writes")
	}
}
