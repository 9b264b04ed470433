/* varbit_chunk.h: chunks of native histograms in Prometheus' encodings, for those who read them elsewhere.
 *
 * Nothing is stored in this format here (codec/histogram.h is what heads hold); remote read streams it.
 * Layout (tsdb/docs/format/chunks.md of Prometheus), bits from the most significant one on:
 *   u16 count; u8 flags: 11000000 gauges, else 0: nothing is known of a reset before the chunk;
 *   zero threshold: 00 for 0 | 01..fe for 2^(byte - 244) | ff + 64 bits; varbit schema; positive, then negative spans:
 *   varbit count, each varbit length, varbit offset; with custom bounds: varbit count, each varbit (1000 times the
 *   bound + 1) if that is whole and below 2^25, else 0 + 64 bits;
 *   integers (encoding 2): first histogram: varbit time, count, zero count; sum 64 bits; varbit difference of each
 *   bucket from the one before. Later ones: varbit delta of the delta of the time, of the count, of the zero count, of
 *   each bucket's difference; the sum as xor (bit_writer_internal.h), before the buckets.
 *   doubles (encoding 3): first: varbit time; count, zero count, sum and buckets 64 bits each. Later: varbit delta of the
 *   delta of the time; all others as xor, each with a window of its own.
 * A number as varbit takes 1 bit if it is 0, else a mark of 2 to 8 bits and 3, 6, 9, 12, 18, 25, 56 or 64 bits. A
 * staleness marker has its time and its sum; behind one come only others. Within a chunk no bucket ever falls, for
 * its readers take that as said.
 *
 * With start times (encodings 5 and 6) the flags are the count's top 2 bits, their byte is the header of start times, and
 * each histogram's start time stands behind it (start_bits_internal.h).
 *
 * Threads: pure functions.
 */
#ifndef MRD_CODEC_VARBIT_CHUNK_H
#define MRD_CODEC_VARBIT_CHUNK_H

#include "base/bytes.h"
#include "model/histogram.h"

enum mrd_varbit_encoding {
    MRD_VARBIT_INTEGERS = 2, /* chunkenc.EncHistogram */
    MRD_VARBIT_DOUBLES = 3,  /* chunkenc.EncFloatHistogram */
    MRD_VARBIT_INTEGERS_ST = 5,
    MRD_VARBIT_DOUBLES_ST = 6,
};

enum {
    MRD_VARBIT_CHUNK_HISTOGRAMS = 120, /* as many as one chunk gets at most, */
    MRD_VARBIT_CHUNK_BYTES = 4096,     /* and none more once it is that large */
};

/* Appends one chunk with as many of the first of `histograms` (one at least) as fit together: of one kind and
 * layout, without a reset in between. `starts`: with their start times. Returns how many. Cost: about 20 ns a bucket. */
size_t mrd_varbit_chunk_encode(const struct mrd_histograms *histograms, bool starts,
                               enum mrd_varbit_encoding *out_encoding, struct mrd_buf *out);

#endif
