// Reads what dump.c prints with Prometheus' own decoder, and encodes it again with Prometheus' own encoder.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

func check(line string) (samples int) {
	fields := strings.Fields(line)
	count, _ := strconv.Atoi(fields[0])
	data, _ := hex.DecodeString(fields[1])
	chunk, err := chunkenc.FromData(chunkenc.EncXOR, data)
	if err != nil {
		panic(err)
	}
	again := chunkenc.NewXORChunk()
	appender, _ := again.Appender()
	iterator := chunk.Iterator(nil)
	for iterator.Next() == chunkenc.ValFloat {
		at, value := iterator.At()
		wantAt, _ := strconv.ParseInt(fields[2+2*samples], 10, 64)
		wantBits, _ := strconv.ParseUint(fields[3+2*samples], 16, 64)
		if at != wantAt || math.Float64bits(value) != wantBits {
			panic(fmt.Sprintf("sample %d: %d %x", samples, at, math.Float64bits(value)))
		}
		appender.Append(0, at, value)
		samples++
	}
	if iterator.Err() != nil || samples != count || chunk.NumSamples() != count {
		panic(fmt.Sprintf("%v, %d of %d samples", iterator.Err(), samples, count))
	}
	if string(again.Bytes()) != string(data) {
		panic("Prometheus encodes it otherwise")
	}
	return samples
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	chunks, samples := 0, 0
	for lines.Scan() {
		samples += check(lines.Text())
		chunks++
	}
	fmt.Println(chunks, "chunks,", samples, "samples: read back, and byte for byte what Prometheus writes")
}
