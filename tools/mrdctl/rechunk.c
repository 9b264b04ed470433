#include "mrdctl/rechunk.h"

#include "codec/prometheus_chunk.h"
#include "codec/varbit_chunk.h"
#include "codec/xor2_chunk.h"
#include "codec/xor_chunk.h"

/* Which of some ascending times lie in a window: from, and how many. */
struct part {
    size_t from;
    size_t count;
};

static struct part part_in(const mrd_time_ms *times_ms, size_t count, struct ctl_window window)
{
    struct part part = {0};
    while (part.from < count && times_ms[part.from] < window.min_ms) {
        part.from++;
    }
    size_t end = part.from;
    while (end < count && times_ms[end] <= window.max_ms) {
        end++;
    }
    part.count = end - part.from;
    return part;
}

static enum mrd_status write_chunk(struct mrd_tsdb_writer *writer, unsigned encoding,
                                   struct mrd_bytes bytes, const mrd_time_ms *times_ms,
                                   size_t count, struct mrd_error *err)
{
    const struct mrd_tsdb_written_chunk chunk = {
        .encoding = encoding,
        .bytes = bytes,
        .min_ms = times_ms[0],
        .max_ms = times_ms[count - 1],
        .sample_count = count,
    };
    return mrd_tsdb_writer_chunk(writer, &chunk, err);
}

static const mrd_time_ms *starts_from(const mrd_time_ms *starts_ms, size_t from)
{
    return starts_ms == NULL ? NULL : starts_ms + from;
}

static enum mrd_status floats_write(struct mrd_tsdb_writer *writer,
                                    const struct mrd_samples *samples, struct part part,
                                    struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    const struct mrd_samples cut = {samples->times_ms + part.from, samples->values + part.from,
                                    part.count, starts_from(samples->start_times_ms, part.from)};
    if (cut.start_times_ms == NULL) {
        mrd_xor_chunk_encode(&cut, &bytes);
    } else {
        mrd_xor2_chunk_encode(&cut, &bytes);
    }
    return write_chunk(writer,
                       cut.start_times_ms == NULL ? MRD_PROMETHEUS_XOR : MRD_PROMETHEUS_XOR2,
                       mrd_buf_view(&bytes), cut.times_ms, cut.count, err);
}

static enum mrd_status histograms_write(struct mrd_tsdb_writer *writer,
                                        const struct mrd_histograms *histograms, struct part part,
                                        struct mrd_error *err)
{
    while (part.count > 0) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf bytes = {0};
        enum mrd_varbit_encoding encoding;
        const mrd_time_ms *starts_ms = starts_from(histograms->start_times_ms, part.from);
        const struct mrd_histograms cut = {histograms->times_ms + part.from,
                                           histograms->items + part.from, part.count, starts_ms};
        const size_t count = mrd_varbit_chunk_encode(&cut, starts_ms != NULL, &encoding, &bytes);
        MRD_TRY(write_chunk(writer, encoding, mrd_buf_view(&bytes), cut.times_ms, count, err));
        part.from += count;
        part.count -= count;
    }
    return MRD_OK;
}

enum mrd_status ctl_rechunk(struct mrd_tsdb_writer *writer, unsigned encoding,
                            struct mrd_bytes bytes, struct ctl_window window,
                            struct mrd_arena *arena, struct mrd_error *err)
{
    struct mrd_prometheus_chunk chunk;
    MRD_TRY(mrd_prometheus_chunk_decode(encoding, bytes, arena, &chunk, err));
    const bool floats = chunk.samples.count > 0;
    const mrd_time_ms *times_ms = floats ? chunk.samples.times_ms : chunk.histograms.times_ms;
    const size_t count = floats ? chunk.samples.count : chunk.histograms.count;
    const struct part part = part_in(times_ms, count, window);
    if (part.count == 0) {
        return MRD_OK;
    }
    if (part.count == count) {
        return write_chunk(writer, encoding, bytes, times_ms, count, err);
    }
    return floats ? floats_write(writer, &chunk.samples, part, err)
                  : histograms_write(writer, &chunk.histograms, part, err);
}
