#include "block/stamps_internal.h"

#include <stdlib.h>

enum { SLOTS_MIN = 256, STAMP_PLANES = 8, ROW_PLANES = 2 };

/* ---- which stamp of the span a row has ---- */

static mrd_hlc *stamps_of(const struct mbx_stamping *stamping, size_t *out_count)
{
    *out_count = stamping->stamps.size / sizeof(mrd_hlc);
    return (mrd_hlc *)(void *)stamping->stamps.data;
}

/* The slot of a stamp, or the empty one where it belongs. */
static size_t slot_of(const struct mbx_stamping *stamping, mrd_hlc stamp)
{
    size_t count;
    const mrd_hlc *stamps = stamps_of(stamping, &count);
    const uint64_t mixed = stamp * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (mixed ^ mixed >> 32) & (stamping->slot_count - 1);
    while (stamping->slots[slot] != 0 && stamps[stamping->slots[slot] - 1] != stamp) {
        slot = (slot + 1) & (stamping->slot_count - 1);
    }
    return slot;
}

/* Room for `more` stamps, with the table half empty. */
static void slots_grow(struct mbx_stamping *stamping, size_t more)
{
    size_t count;
    const mrd_hlc *stamps = stamps_of(stamping, &count);
    size_t wanted = MRD_MAX(stamping->slot_count, (size_t)SLOTS_MIN);
    while (wanted < (count + more) * 2) {
        wanted *= 2;
    }
    if (wanted == stamping->slot_count) {
        return;
    }
    free(stamping->slots);
    stamping->slots = calloc(wanted, sizeof(*stamping->slots));
    mrd_assert(stamping->slots != NULL);
    stamping->slot_count = wanted;
    for (size_t i = 0; i < count; i++) {
        stamping->slots[slot_of(stamping, stamps[i])] = (uint32_t)i + 1;
    }
}

/* Stamps of the page that the span does not have, at most: some may be counted twice. */
static size_t count_new(const struct mbx_stamping *stamping, const mrd_hlc *page, size_t rows)
{
    size_t found = 0;
    for (size_t i = 0; i < rows; i++) {
        const bool again = i > 0 && page[i] == page[i - 1];
        found += !again && stamping->slots[slot_of(stamping, page[i])] == 0;
    }
    return found;
}

static uint16_t number_of(struct mbx_stamping *stamping, mrd_hlc stamp)
{
    const size_t slot = slot_of(stamping, stamp);
    if (stamping->slots[slot] == 0) {
        mrd_buf_append_u64(&stamping->stamps, stamp);
        stamping->slots[slot] = (uint32_t)(stamping->stamps.size / sizeof(mrd_hlc));
    }
    return (uint16_t)(stamping->slots[slot] - 1);
}

/* ---- pages ---- */

void mbx_stamping_add(struct mbx_stamping *stamping, const int64_t *hlcs, size_t count)
{
    mrd_buf_append(&stamping->page, hlcs, count * sizeof(hlcs[0]));
}

void mbx_stamping_page(struct mbx_stamping *stamping, struct mrd_pq_compressor *compressor)
{
    const mrd_hlc *page = (const mrd_hlc *)(const void *)stamping->page.data;
    const size_t rows = stamping->page.size / sizeof(page[0]);
    size_t count;
    slots_grow(stamping, rows);
    (void)stamps_of(stamping, &count);
    if (stamping->pages > 0 && (stamping->rows.size / sizeof(uint16_t) + rows > MBX_SPAN_ROWS_MAX ||
                                count + count_new(stamping, page, rows) > MBX_SPAN_STAMPS_MAX)) {
        mbx_stamping_span(stamping, compressor);
        slots_grow(stamping, rows);
    }
    for (size_t i = 0; i < rows; i++) {
        const uint16_t number = number_of(stamping, page[i]);
        mrd_buf_append(&stamping->rows, &number, sizeof(number));
    }
    stamping->pages++;
    mrd_buf_clear(&stamping->page);
}

/* ---- spans ---- */

struct numbered {
    mrd_hlc stamp;
    uint32_t number;
};

static int compare_numbered(const void *a, const void *b)
{
    const mrd_hlc left = ((const struct numbered *)a)->stamp;
    const mrd_hlc right = ((const struct numbered *)b)->stamp;
    return left < right ? -1 : left > right;
}

/* Integers of `planes` bytes as that many rows of bytes, the least significant first. */
static void put_planes(uint8_t *out, size_t at, size_t count, unsigned planes, uint64_t value)
{
    for (unsigned plane = 0; plane < planes; plane++) {
        out[plane * count + at] = (uint8_t)(value >> 8 * plane);
    }
}

/* Puts the list; ranks[number] is where a stamp stands in it. */
static void put_list(const mrd_hlc *stamps, size_t count, uint8_t *out, uint16_t *ranks)
{
    struct numbered *sorted = calloc(count, sizeof(*sorted));
    mrd_assert(sorted != NULL);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (struct numbered){stamps[i], (uint32_t)i};
    }
    qsort(sorted, count, sizeof(*sorted), compare_numbered);
    mrd_hlc before = 0;
    for (size_t i = 0; i < count; i++) {
        put_planes(out, i, count, STAMP_PLANES, sorted[i].stamp - before);
        before = sorted[i].stamp;
        ranks[sorted[i].number] = (uint16_t)i;
    }
    free(sorted);
}

static void put_span(const struct mbx_stamping *stamping, struct mrd_buf *plain)
{
    const uint16_t *rows = (const uint16_t *)(const void *)stamping->rows.data;
    const size_t row_count = stamping->rows.size / sizeof(rows[0]);
    size_t count;
    const mrd_hlc *stamps = stamps_of(stamping, &count);
    uint16_t *ranks = calloc(count, sizeof(*ranks));
    uint8_t *out = mrd_buf_reserve(plain, count * STAMP_PLANES + row_count * ROW_PLANES);
    mrd_assert(ranks != NULL && out != NULL);
    put_list(stamps, count, out, ranks);
    out += count * STAMP_PLANES;
    uint16_t before = 0;
    for (size_t i = 0; i < row_count; i++) {
        const uint16_t rank = ranks[rows[i]];
        put_planes(out, i, row_count, ROW_PLANES, (uint16_t)(rank - before));
        before = rank;
    }
    plain->size += count * STAMP_PLANES + row_count * ROW_PLANES;
    free(ranks);
}

void mbx_stamping_span(struct mbx_stamping *stamping, struct mrd_pq_compressor *compressor)
{
    mrd_assert(stamping->page.size == 0 || stamping->pages > 0);
    if (stamping->pages == 0) {
        return;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    put_span(stamping, &plain);
    struct mbx_frame frame = {0};
    mbx_frame_write(mrd_buf_view(&plain), compressor, &stamping->frames, &frame);
    mrd_assert(!stamping->frames.failed);
    const struct mbx_span span = {
        .offset = frame.offset,
        .size = (uint32_t)frame.size,
        .crc32c = frame.crc32c,
        .pages = stamping->pages,
        .rows = (uint32_t)(stamping->rows.size / sizeof(uint16_t)),
        .stamps = (uint32_t)(stamping->stamps.size / sizeof(mrd_hlc)),
    };
    mrd_buf_append(&stamping->spans, &span, sizeof(span));
    mrd_buf_clear(&stamping->stamps);
    mrd_buf_clear(&stamping->rows);
    memset(stamping->slots, 0, stamping->slot_count * sizeof(*stamping->slots));
    stamping->pages = 0;
}

const struct mbx_span *mbx_stamping_spans(const struct mbx_stamping *stamping, size_t *out_count)
{
    *out_count = stamping->spans.size / sizeof(struct mbx_span);
    return (const struct mbx_span *)(const void *)stamping->spans.data;
}

void mbx_stamping_place(struct mbx_stamping *stamping, uint64_t offset)
{
    struct mbx_span *spans = (struct mbx_span *)(void *)stamping->spans.data;
    size_t count;
    (void)mbx_stamping_spans(stamping, &count);
    for (; stamping->placed < count; stamping->placed++) {
        spans[stamping->placed].offset += offset;
    }
    mrd_buf_clear(&stamping->frames);
}

size_t mbx_stamping_memory(const struct mbx_stamping *stamping)
{
    return stamping->page.capacity + stamping->stamps.capacity + stamping->rows.capacity +
           stamping->slot_count * sizeof(*stamping->slots) + stamping->frames.capacity +
           stamping->spans.capacity;
}

void mbx_stamping_fini(struct mbx_stamping *stamping)
{
    struct mrd_buf *bufs[] = {&stamping->page, &stamping->stamps, &stamping->rows,
                              &stamping->frames, &stamping->spans};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_fini(bufs[i]);
    }
    free(stamping->slots);
    stamping->slots = NULL;
}

/* ---- reading ---- */

static uint64_t get_planes(const uint8_t *in, size_t at, size_t count, unsigned planes)
{
    uint64_t value = 0;
    for (unsigned plane = 0; plane < planes; plane++) {
        value |= (uint64_t)in[plane * count + at] << 8 * plane;
    }
    return value;
}

/* False unless the stamps rise and have 63 bits. */
static bool get_list(const uint8_t *in, size_t count, mrd_hlc *out)
{
    mrd_hlc before = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t more = get_planes(in, i, count, STAMP_PLANES);
        if ((i > 0 && more == 0) || more > INT64_MAX - before) {
            return false;
        }
        before += more;
        out[i] = before;
    }
    return true;
}

MRD_SIMD_CLONES static bool get_rows(const uint8_t *in, size_t count, size_t stamps, uint16_t *out)
{
    bool fine = true;
    uint16_t rank = 0;
    for (size_t i = 0; i < count; i++) {
        rank = (uint16_t)(rank + (in[i] | in[count + i] << 8));
        fine &= rank < stamps;
        out[i] = rank;
    }
    return fine;
}

enum mrd_status mbx_stamps_decode(struct mbx_stamps *stamps, const struct mbx_span *span,
                                  struct mrd_bytes stored, const struct mrd_look *look,
                                  struct mrd_error *err)
{
    const size_t list_size = (size_t)span->stamps * STAMP_PLANES;
    const struct mbx_frame frame = {.offset = span->offset,
                                    .size = span->size,
                                    .plain_size = list_size + (size_t)span->rows * ROW_PLANES,
                                    .crc32c = span->crc32c};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    MRD_TRY(mbx_frame_open(stored, &frame, (size_t)frame.plain_size, look, &plain, err));
    free(stamps->list);
    free(stamps->rows);
    stamps->list = malloc(span->stamps * sizeof(stamps->list[0]));
    stamps->rows = malloc(span->rows * sizeof(stamps->rows[0]));
    mrd_assert(stamps->list != NULL && stamps->rows != NULL);
    const bool fine = get_list(plain.data, span->stamps, stamps->list) &&
                      get_rows(plain.data + list_size, span->rows, span->stamps, stamps->rows);
    return fine ? MRD_OK
                : mrd_fail(err, MRD_E_CORRUPT, "the stamps at %llu contradict themselves",
                           (unsigned long long)span->offset);
}

void mbx_stamps_fini(struct mbx_stamps *stamps)
{
    free(stamps->list);
    free(stamps->rows);
    *stamps = (struct mbx_stamps){0};
}
