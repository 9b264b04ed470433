#include "wire/remote_write_v2_build.h"

#include "wire/histogram_message_internal.h"
#include "wire/protobuf_write_internal.h"

enum {
    REQUEST_SYMBOLS = 4,
    REQUEST_SERIES = 5,
    SERIES_LABELS = 1,
    SERIES_SAMPLES = 2,
    SERIES_HISTOGRAMS = 3
};

/* ---- the request ---- */

void mrd_rw2_build_init(struct mrd_rw2_build *build)
{
    *build = (struct mrd_rw2_build){0};
    mrd_rw2_build_clear(build);
}

void mrd_rw2_build_fini(struct mrd_rw2_build *build)
{
    mrd_interner_fini(&build->symbols);
    mrd_buf_fini(&build->references);
    mrd_buf_fini(&build->series);
    mrd_buf_fini(&build->current);
}

void mrd_rw2_build_clear(struct mrd_rw2_build *build)
{
    mrd_interner_clear(&build->symbols);
    mrd_buf_clear(&build->series);
    mrd_buf_clear(&build->current);
    build->series_count = build->sample_count = build->histogram_count = 0;
    (void)mrd_interner_put(&build->symbols, MRD_BYTES("")); /* the first is the empty one */
}

void mrd_rw2_build_begin(struct mrd_rw2_build *build, struct mrd_labels labels)
{
    mrd_buf_clear(&build->references);
    for (size_t i = 0; i < labels.count; i++) {
        const struct mrd_label *label = &labels.items[i];
        mrd_buf_append_varint(&build->references, mrd_interner_put(&build->symbols, label->name));
        mrd_buf_append_varint(&build->references, mrd_interner_put(&build->symbols, label->value));
    }
    mrd_buf_clear(&build->current);
    mrd_pb_bytes_append(SERIES_LABELS, mrd_buf_view(&build->references), &build->current);
}

static size_t varint_field_size(uint64_t value) { return 1 + mrd_pb_varint_size(value); }

void mrd_rw2_build_sample(struct mrd_rw2_build *build, struct mrd_sample sample,
                          mrd_time_ms start_ms)
{
    struct mrd_buf *out = &build->current;
    size_t size = 1 + sizeof(double) + varint_field_size((uint64_t)sample.time_ms);
    size += start_ms == 0 ? 0 : varint_field_size((uint64_t)start_ms);
    mrd_pb_head_append(SERIES_SAMPLES, size, out);
    mrd_pb_double_append(1, sample.value, out);
    mrd_pb_varint_append(2, (uint64_t)sample.time_ms, out);
    if (start_ms != 0) {
        mrd_pb_varint_append(3, (uint64_t)start_ms, out);
    }
    build->sample_count++;
}

void mrd_rw2_build_histogram(struct mrd_rw2_build *build, mrd_time_ms time_ms, mrd_time_ms start_ms,
                             const struct mrd_histogram *histogram)
{
    mrd_histogram_message_append(SERIES_HISTOGRAMS, (struct mrd_histogram_times){time_ms, start_ms},
                                 histogram, &build->current);
    build->histogram_count++;
}

void mrd_rw2_build_end(struct mrd_rw2_build *build)
{
    mrd_pb_bytes_append(REQUEST_SERIES, mrd_buf_view(&build->current), &build->series);
    mrd_buf_clear(&build->current);
    build->series_count++;
}

void mrd_rw2_build_append(const struct mrd_rw2_build *build, struct mrd_buf *out)
{
    mrd_assert(build->current.size == 0);
    for (uint32_t i = 0; i < build->symbols.count; i++) {
        mrd_pb_bytes_append(REQUEST_SYMBOLS, mrd_interner_at(&build->symbols, i), out);
    }
    mrd_buf_append_bytes(out, mrd_buf_view(&build->series));
}
