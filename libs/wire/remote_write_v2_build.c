#include "wire/remote_write_v2_build.h"

#include "wire/histogram_message_internal.h"
#include "wire/protobuf_write_internal.h"

enum { SLOTS_MIN = 1024 };

enum {
    REQUEST_SYMBOLS = 4,
    REQUEST_SERIES = 5,
    SERIES_LABELS = 1,
    SERIES_SAMPLES = 2,
    SERIES_HISTOGRAMS = 3
};

struct place {
    size_t at;
    size_t size;
};

/* ---- symbols ---- */

static struct mrd_bytes symbol_at(const struct mrd_rw2_build *build, uint32_t number)
{
    const struct place *place = (const struct place *)(const void *)build->places.data + number;
    return (struct mrd_bytes){build->symbols.data + place->at, place->size};
}

/* The slot of a text: one that has it, or the free one where it goes. */
static uint32_t *slot_of(const struct mrd_rw2_build *build, struct mrd_bytes text)
{
    uint32_t *slots = (uint32_t *)(void *)build->slots.data;
    const size_t mask = build->slots.size / sizeof(*slots) - 1;
    size_t at = (size_t)mrd_hash64(text, 0) & mask;
    while (slots[at] != 0 && !mrd_bytes_equal(symbol_at(build, slots[at] - 1), text)) {
        at = (at + 1) & mask;
    }
    return &slots[at];
}

static void slots_make(struct mrd_rw2_build *build, size_t count)
{
    const size_t size = count * sizeof(uint32_t);
    mrd_buf_clear(&build->slots);
    uint8_t *room = mrd_buf_reserve(&build->slots, size);
    mrd_assert(room != NULL);
    memset(room, 0, size);
    build->slots.size = size;
    for (uint32_t i = 0; i < build->symbol_count; i++) {
        *slot_of(build, symbol_at(build, i)) = i + 1;
    }
}

static uint32_t symbol_of(struct mrd_rw2_build *build, struct mrd_bytes text)
{
    uint32_t *slot = slot_of(build, text);
    if (*slot != 0) {
        return *slot - 1;
    }
    mrd_pb_bytes_append(REQUEST_SYMBOLS, text, &build->symbols);
    const struct place place = {build->symbols.size - text.size, text.size};
    mrd_buf_append(&build->places, &place, sizeof(place));
    *slot = (uint32_t)++build->symbol_count;
    const uint32_t number = *slot - 1;
    if (2 * build->symbol_count > build->slots.size / sizeof(*slot)) {
        slots_make(build, build->slots.size / sizeof(*slot) * 2);
    }
    return number;
}

/* ---- the request ---- */

void mrd_rw2_build_init(struct mrd_rw2_build *build)
{
    *build = (struct mrd_rw2_build){0};
    mrd_rw2_build_clear(build);
}

void mrd_rw2_build_fini(struct mrd_rw2_build *build)
{
    mrd_buf_fini(&build->symbols);
    mrd_buf_fini(&build->places);
    mrd_buf_fini(&build->slots);
    mrd_buf_fini(&build->series);
    mrd_buf_fini(&build->current);
}

void mrd_rw2_build_clear(struct mrd_rw2_build *build)
{
    mrd_buf_clear(&build->symbols);
    mrd_buf_clear(&build->places);
    mrd_buf_clear(&build->series);
    mrd_buf_clear(&build->current);
    build->symbol_count = build->series_count = 0;
    build->sample_count = build->histogram_count = 0;
    slots_make(build, SLOTS_MIN);
    (void)symbol_of(build, MRD_BYTES("")); /* the first is the empty one */
}

void mrd_rw2_build_begin(struct mrd_rw2_build *build, struct mrd_labels labels)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf references = {0};
    for (size_t i = 0; i < labels.count; i++) {
        mrd_buf_append_varint(&references, symbol_of(build, labels.items[i].name));
        mrd_buf_append_varint(&references, symbol_of(build, labels.items[i].value));
    }
    mrd_buf_clear(&build->current);
    mrd_pb_bytes_append(SERIES_LABELS, mrd_buf_view(&references), &build->current);
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
    mrd_buf_append_bytes(out, mrd_buf_view(&build->symbols));
    mrd_buf_append_bytes(out, mrd_buf_view(&build->series));
}
