/* start_bits_internal.h: start times in Prometheus' chunks that have them (tsdb/chunkenc/st.go of 3.14).
 *
 * A header byte: bit 7: the first sample's start time is there; bits 6 to 0: from which sample on each has one, 0: none.
 * What is there stands behind the sample: of the first, a signed varint with its distance from the sample's time; of the
 * first that has one of its own, a varbit number with the distance from the time of the sample before; of later ones the change of that
 * distance. Until then samples have the start time of the first (0 if that is not there). Sample 127 has one in any case.
 */
#ifndef MRD_CODEC_START_BITS_INTERNAL_H
#define MRD_CODEC_START_BITS_INTERNAL_H

#include "codec/varbit_internal.h"

enum {
    MRD_START_FIRST = 0x80,  /* in the header */
    MRD_START_FROM_MAX = 127 /* the other bits */
};

struct mrd_start_state {
    uint8_t header;
    int64_t last_ms;  /* the start time before */
    int64_t distance; /* of it from the time before it */
};

/* The arguments of a sample: its index, its time and that of the sample before. */
struct mrd_start_at {
    size_t index;
    int64_t time_ms;
    int64_t before_ms;
};

static inline int64_t mrd_start_distance(int64_t time_ms, int64_t start_ms)
{
    return (int64_t)((uint64_t)time_ms - (uint64_t)start_ms);
}

/* Puts what comes behind the sample; state->header is right once all samples are put. */
static inline void mrd_start_put(struct mrd_bit_writer *writer, struct mrd_start_state *state,
                                 struct mrd_start_at at, int64_t start_ms)
{
    const unsigned from = state->header & MRD_START_FROM_MAX;
    const int64_t distance = mrd_start_distance(at.before_ms, start_ms);
    if (at.index == 0) {
        if (start_ms != 0) {
            uint8_t bytes[MRD_VARINT_SIZE_MAX];
            const size_t size =
                mrd_varint_put(bytes, mrd_zigzag_encode(mrd_start_distance(at.time_ms, start_ms)));
            for (size_t i = 0; i < size; i++) {
                mrd_bits_put(writer, bytes[i], 8);
            }
            state->header = MRD_START_FIRST;
        }
    } else if (from > 0) {
        mrd_varbit_put_signed(writer, (uint64_t)distance - (uint64_t)state->distance);
        state->distance = distance;
    } else if (start_ms != state->last_ms || at.index == MRD_START_FROM_MAX) {
        mrd_varbit_put_signed(writer, (uint64_t)distance);
        state->header |= (uint8_t)at.index;
        state->distance = distance;
    }
    state->last_ms = start_ms;
}

/* Reads it; returns the sample's start time. */
static inline int64_t mrd_start_read(struct mrd_msb_reader *reader, struct mrd_start_state *state,
                                     struct mrd_start_at at)
{
    const unsigned from = state->header & MRD_START_FROM_MAX;
    if (at.index == 0) {
        if ((state->header & MRD_START_FIRST) != 0) {
            state->last_ms = mrd_start_distance(at.time_ms, mrd_msb_read_zigzag(reader));
        }
    } else if (from > 0 && at.index >= from) {
        const uint64_t change = (uint64_t)mrd_varbit_read_signed(reader);
        state->distance = (int64_t)(at.index == from ? change : (uint64_t)state->distance + change);
        state->last_ms = mrd_start_distance(at.before_ms, state->distance);
    }
    return state->last_ms;
}

#endif
