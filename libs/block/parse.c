/* A part of a sidecar from its bytes. The order of what is read is that of build.c. */
#include <stdlib.h>

#include "block/sidecar_internal.h"
#include "block/writer.h"
#include "codec/decimal.h"

struct parser {
    struct mbx_part *part;
    struct mrd_reader in;
    int64_t page; /* of the last segment; -1: none yet */
    uint32_t row; /* behind it */
    struct mrd_pace pace;
    struct mrd_error *err;
};

static enum mrd_status wrong(const struct parser *parser, const char *what)
{
    return mrd_fail(parser->err, MRD_E_CORRUPT, "a part of the sidecar contradicts itself: %s",
                    what);
}

/* An array of `count` items, each of which takes item_bytes of input at least. */
static enum mrd_status take(struct parser *parser, uint64_t count, size_t item_bytes, size_t size,
                            void *out)
{
    if (parser->in.failed || count > mrd_reader_left(&parser->in) / item_bytes) {
        return wrong(parser, "more items than bytes");
    }
    void *items = mrd_arena_alloc_array(parser->part->arena, (size_t)count, size);
    if (items == NULL) {
        return mrd_arena_fail(parser->part->arena, parser->err);
    }
    *(void **)out = items;
    return MRD_OK;
}

/* ---- pages ---- */

static bool parse_page(struct mrd_reader *in, uint64_t data_size, unsigned leaf_count,
                       uint64_t *expected, struct mbx_page *out)
{
    const uint64_t rows = mrd_read_varint(in);
    const uint64_t mask = mrd_read_varint(in);
    if (rows == 0 || rows > MRD_BLOCK_PAGE_ROWS || mask >= 1U << leaf_count ||
        (mask & 1U << MBX_TS) == 0) {
        return false;
    }
    out->rows = (uint32_t)rows;
    for (unsigned leaf = 0; leaf < leaf_count; leaf++) {
        if ((mask >> leaf & 1) == 0) {
            continue;
        }
        struct mbx_page_at *at = &out->leaves[leaf];
        at->offset = expected[leaf] + (uint64_t)mrd_read_zigzag(in);
        const uint64_t size = mrd_read_varint(in);
        at->crc32c = mrd_read_u32(in);
        if (in->failed || size == 0 || size > INT32_MAX || at->offset > data_size ||
            size > data_size - at->offset) {
            return false;
        }
        at->size = (uint32_t)size;
        expected[leaf] = at->offset + size;
    }
    return true;
}

static enum mrd_status parse_pages(struct parser *parser, struct mrd_bytes bytes,
                                   uint64_t data_size)
{
    struct mbx_part *part = parser->part;
    parser->in = mrd_reader_of(bytes);
    const uint64_t count = mrd_read_varint(&parser->in);
    MRD_TRY(take(parser, count, 8, sizeof(part->pages[0]), &part->pages));
    const size_t leaves_size = part->leaf_count * sizeof(struct mbx_page_at);
    struct mbx_page_at *leaves = NULL;
    MRD_TRY(take(parser, count, 8, leaves_size, &leaves));
    memset(leaves, 0, (size_t)count * leaves_size);
    uint64_t expected[MBX_LEAVES_MAX] = {0};
    for (uint64_t i = 0; i < count; i++) {
        part->pages[i].leaves = leaves + i * part->leaf_count;
        if (!parse_page(&parser->in, data_size, part->leaf_count, expected, &part->pages[i])) {
            return wrong(parser, "a page");
        }
        MRD_TRY(mrd_pace(&parser->pace, part->leaf_count, parser->err));
    }
    part->page_count = (uint32_t)count;
    return MRD_OK;
}

static bool parse_span(struct mrd_reader *in, uint64_t data_size, uint64_t *expected,
                       struct mbx_span *out)
{
    const uint64_t pages = mrd_read_varint(in);
    out->offset = *expected + (uint64_t)mrd_read_zigzag(in);
    const uint64_t size = mrd_read_varint(in);
    const uint64_t stamps = mrd_read_varint(in);
    out->crc32c = mrd_read_u32(in);
    if (in->failed || pages == 0 || pages > MBX_SPAN_ROWS_MAX || size == 0 || size > INT32_MAX ||
        out->offset > data_size || size > data_size - out->offset || stamps == 0 ||
        stamps > MBX_SPAN_STAMPS_MAX) {
        return false;
    }
    out->pages = (uint32_t)pages;
    out->size = (uint32_t)size;
    out->stamps = (uint32_t)stamps;
    *expected = out->offset + size;
    return true;
}

/* The span's pages are those from `first` on. */
static bool take_pages(struct mbx_part *part, uint32_t which, uint32_t first)
{
    struct mbx_span *span = &part->spans[which];
    uint64_t rows = 0;
    if (span->pages > part->page_count - first) {
        return false;
    }
    for (uint32_t i = first; i < first + span->pages; i++) {
        part->pages[i].span = which;
        part->pages[i].span_row = (uint32_t)rows;
        rows += part->pages[i].rows;
        if (rows > MBX_SPAN_ROWS_MAX) {
            return false;
        }
    }
    span->rows = (uint32_t)rows;
    return true;
}

static enum mrd_status parse_spans(struct parser *parser, uint64_t data_size)
{
    struct mbx_part *part = parser->part;
    const uint64_t count = mrd_read_varint(&parser->in);
    uint64_t expected = 0;
    uint32_t page = 0;
    MRD_TRY(take(parser, count, 8, sizeof(part->spans[0]), &part->spans));
    for (uint64_t i = 0; i < count; i++) {
        if (!parse_span(&parser->in, data_size, &expected, &part->spans[i]) ||
            !take_pages(part, (uint32_t)i, page)) {
            return wrong(parser, "a span of stamps");
        }
        page += part->spans[i].pages;
        MRD_TRY(mrd_pace(&parser->pace, 1 + part->spans[i].pages, parser->err));
    }
    part->span_count = (uint32_t)count;
    return page == part->page_count ? MRD_OK : wrong(parser, "pages without stamps");
}

/* ---- names and values ---- */

/* Texts go one after the other into memory that the tenant has taken. */
struct text {
    uint8_t *at;
    size_t left;
};

static bool text_put(struct text *text, struct mrd_bytes bytes)
{
    if (bytes.size > text->left) {
        return false;
    }
    if (bytes.size > 0) {
        memcpy(text->at, bytes.data, bytes.size);
    }
    text->at += bytes.size;
    text->left -= bytes.size;
    return true;
}

static enum mrd_status parse_names(struct parser *parser, struct mbx_tenant *tenant,
                                   struct text *text)
{
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < tenant->name_count; i++) {
        struct mbx_name *name = &tenant->names[i];
        const struct mrd_bytes bytes = mrd_read_bytes(&parser->in, mrd_read_varint(&parser->in));
        const uint64_t count = mrd_read_varint(&parser->in);
        name->name = (struct mrd_bytes){text->at, bytes.size};
        if (parser->in.failed || bytes.size == 0 || count == 0 ||
            count > tenant->pair_count - pairs || !text_put(text, bytes) ||
            (i > 0 && mrd_bytes_compare(name[-1].name, name->name) >= 0)) {
            return wrong(parser, "names");
        }
        name->pairs_first = (uint32_t)pairs;
        name->pairs_count = (uint32_t)count;
        for (uint64_t k = 0; k < count; k++) {
            tenant->pairs[pairs + k].name = i;
        }
        pairs += count;
        MRD_TRY(mrd_pace(&parser->pace, 1 + (size_t)count / 16, parser->err));
    }
    return pairs == tenant->pair_count ? MRD_OK : wrong(parser, "pairs without a name");
}

static enum mrd_status parse_values(struct parser *parser, struct mbx_tenant *tenant,
                                    struct text *text)
{
    struct mrd_bytes before = MRD_BYTES_NONE;
    for (uint32_t i = 0; i < tenant->pair_count; i++) {
        struct mbx_pair *pair = &tenant->pairs[i];
        const bool first = i == tenant->names[pair->name].pairs_first;
        before = first ? MRD_BYTES_NONE : before;
        const uint64_t shared = mrd_read_varint(&parser->in);
        const struct mrd_bytes rest = mrd_read_bytes(&parser->in, mrd_read_varint(&parser->in));
        if (parser->in.failed || shared > before.size) {
            return wrong(parser, "values");
        }
        pair->value = (struct mrd_bytes){text->at, (size_t)shared + rest.size};
        if (!text_put(text, (struct mrd_bytes){before.data, (size_t)shared}) ||
            !text_put(text, rest) || pair->value.size == 0 ||
            (!first && mrd_bytes_compare(before, pair->value) >= 0)) {
            return wrong(parser, "the order of values");
        }
        before = pair->value;
        MRD_TRY(mrd_pace(&parser->pace, 4, parser->err));
    }
    return text->left == 0 ? MRD_OK : wrong(parser, "the size of texts");
}

static enum mrd_status parse_postings(struct parser *parser, struct mbx_tenant *tenant)
{
    struct mrd_reader *in = &parser->in;
    for (uint32_t i = 0; i < tenant->pair_count; i++) {
        const uint64_t head = mrd_read_varint(in);
        const uint64_t first = mrd_read_varint(in);
        const uint64_t count = head >> 1;
        if (in->failed || count == 0 || count > tenant->series_count ||
            first > tenant->series_count - count) {
            return wrong(parser, "series of a value");
        }
        tenant->pairs[i].count = (uint32_t)count;
        tenant->pairs[i].first = (uint32_t)first;
        tenant->pairs[i].gaps_at = (head & 1) != 0 ? UINT32_MAX : 0;
        MRD_TRY(mrd_pace(&parser->pace, 1, parser->err));
    }
    return MRD_OK;
}

/* Where each pair's gaps begin: the lists follow each other, so all of them are walked once. */
static enum mrd_status place_gaps(struct parser *parser, struct mbx_tenant *tenant)
{
    struct mrd_reader in = mrd_reader_of(tenant->gaps);
    for (uint32_t i = 0; i < tenant->pair_count; i++) {
        if (tenant->pairs[i].gaps_at == UINT32_MAX) {
            continue;
        }
        tenant->pairs[i].gaps_at = (uint32_t)(in.at - tenant->gaps.data);
        uint64_t ordinal = tenant->pairs[i].first;
        for (uint32_t k = 1; k < tenant->pairs[i].count; k++) {
            const uint64_t gap = mrd_read_varint(&in);
            if (gap >= tenant->series_count || (ordinal += gap + 1) >= tenant->series_count) {
                return wrong(parser, "series of a value");
            }
        }
        if (in.failed) {
            return wrong(parser, "series of a value");
        }
        MRD_TRY(mrd_pace(&parser->pace, 1 + tenant->pairs[i].count / 4, parser->err));
    }
    return mrd_reader_left(&in) > 0 ? wrong(parser, "bytes behind the series of values") : MRD_OK;
}

/* ---- series ---- */

static enum mrd_status parse_refs(struct parser *parser, struct mbx_tenant *tenant,
                                  struct mbx_series *series, uint64_t refs_left)
{
    const uint64_t count = mrd_read_varint(&parser->in);
    if (count == 0 || count > refs_left || count > MBX_SERIES_LABELS_MAX) {
        return wrong(parser, "labels of a series");
    }
    uint64_t pair = 0;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t step = mrd_read_varint(&parser->in);
        const uint64_t before = pair;
        pair += step;
        if (step >= tenant->pair_count || pair >= tenant->pair_count ||
            (i > 0 && tenant->pairs[before].name >= tenant->pairs[pair].name)) {
            return wrong(parser, "labels of a series");
        }
        tenant->refs[series->refs_first + i] = (uint32_t)pair;
    }
    series->refs_count = (uint32_t)count;
    return MRD_OK;
}

static bool parse_times(struct mrd_reader *in, mrd_time_ms before, struct mbx_segment *segment)
{
    const int64_t distance = mrd_read_zigzag(in);
    segment->step_ms = 0;
    if (distance > 4 * MRD_BLOCK_TIME_MAX || distance < -4 * MRD_BLOCK_TIME_MAX) {
        return false;
    }
    segment->first_ms = before + distance;
    segment->last_ms = segment->first_ms;
    if (segment->rows > 1) {
        const uint64_t span = mrd_read_varint(in);
        uint64_t all = span;
        if ((segment->flags & MBX_REGULAR) != 0) {
            segment->step_ms = (int64_t)MRD_MIN(span, (uint64_t)INT64_MAX);
            if (__builtin_mul_overflow(span, (uint64_t)segment->rows - 1, &all)) {
                return false;
            }
        }
        if (all < segment->rows - 1 || all > 2 * (uint64_t)MRD_BLOCK_TIME_MAX) {
            return false;
        }
        segment->last_ms += (int64_t)all;
    }
    return mrd_block_time_fits(segment->first_ms) && mrd_block_time_fits(segment->last_ms);
}

/* Rows of a rollup stand where windows end. */
static bool are_windows(const struct mbx_part *part, const struct mbx_segment *segment)
{
    const mrd_time_ms resolution_ms = part->resolution_ms;
    return resolution_ms == 0 ||
           (segment->first_ms % resolution_ms == 0 && segment->last_ms % resolution_ms == 0 &&
            segment->step_ms % resolution_ms == 0);
}

static enum mrd_status parse_segment(struct parser *parser, mrd_time_ms before,
                                     struct mbx_segment *segment)
{
    const struct mbx_part *part = parser->part;
    segment->flags = mrd_read_u8(&parser->in);
    segment->digits = part->resolution_ms == 0 && (segment->flags & MBX_SCALED) != 0
                          ? mrd_read_u8(&parser->in)
                          : 0;
    const uint64_t rows = mrd_read_varint(&parser->in);
    if (parser->in.failed || segment->flags > MBX_FLAGS_ALL ||
        (segment->flags & (MBX_FLOATS | MBX_HISTOGRAMS)) == 0 ||
        segment->digits > MRD_DECIMAL_DIGITS_MAX || rows == 0) {
        return wrong(parser, "a run of rows");
    }
    if ((segment->flags & MBX_NEW_PAGE) != 0) {
        if (parser->page >= 0 && parser->row != part->pages[parser->page].rows) {
            return wrong(parser, "rows of a page that no series has");
        }
        parser->page++;
        parser->row = 0;
    }
    if (parser->page < 0 || parser->page >= (int64_t)part->page_count ||
        rows > part->pages[parser->page].rows - parser->row) {
        return wrong(parser, "rows beyond a page");
    }
    segment->rows = (uint32_t)rows;
    segment->page = (uint32_t)parser->page;
    segment->row = parser->row;
    parser->row += (uint32_t)rows;
    return parse_times(&parser->in, before, segment) && are_windows(part, segment)
               ? MRD_OK
               : wrong(parser, "times of a run");
}

static enum mrd_status parse_series(struct parser *parser, struct mbx_tenant *tenant,
                                    uint64_t refs_count, uint64_t segments_count)
{
    uint32_t refs = 0;
    uint32_t segments = 0;
    for (uint32_t i = 0; i < tenant->series_count; i++) {
        struct mbx_series *series = &tenant->series[i];
        series->refs_first = refs;
        MRD_TRY(parse_refs(parser, tenant, series, refs_count - refs));
        const uint64_t count = mrd_read_varint(&parser->in);
        if (parser->in.failed || count == 0 || count > segments_count - segments) {
            return wrong(parser, "runs of a series");
        }
        series->segments_first = segments;
        series->segments_count = (uint32_t)count;
        mrd_time_ms before = tenant->counts.min_ms;
        for (uint64_t k = 0; k < count; k++) {
            struct mbx_segment *segment = &tenant->segments[segments + k];
            MRD_TRY(parse_segment(parser, before, segment));
            if (k > 0 && segment->first_ms <= before) {
                return wrong(parser, "times of a series");
            }
            before = segment->last_ms;
        }
        refs += series->refs_count;
        segments += (uint32_t)count;
        MRD_TRY(mrd_pace(&parser->pace, series->refs_count + (size_t)count, parser->err));
    }
    return refs == refs_count && segments == segments_count ? MRD_OK
                                                            : wrong(parser, "sums of series");
}

/* ---- tenants ---- */

struct sizes {
    uint64_t text, gaps, refs, segments;
};

static enum mrd_status take_tenant(struct parser *parser, struct mbx_tenant *tenant,
                                   struct sizes *sizes)
{
    struct mrd_reader *in = &parser->in;
    const uint64_t names = mrd_read_varint(in);
    const uint64_t pairs = mrd_read_varint(in);
    sizes->text = mrd_read_varint(in);
    sizes->gaps = mrd_read_varint(in);
    sizes->refs = mrd_read_varint(in);
    sizes->segments = mrd_read_varint(in);
    const uint64_t series = tenant->counts.series;
    if (in->failed || sizes->gaps > mrd_reader_left(in) || sizes->text >= UINT32_MAX) {
        return wrong(parser, "sizes");
    }
    MRD_TRY(take(parser, names, 3, sizeof(tenant->names[0]), &tenant->names));
    MRD_TRY(take(parser, pairs, 4, sizeof(tenant->pairs[0]), &tenant->pairs));
    MRD_TRY(take(parser, series, 5, sizeof(tenant->series[0]), &tenant->series));
    MRD_TRY(take(parser, sizes->refs, 1, sizeof(tenant->refs[0]), &tenant->refs));
    MRD_TRY(take(parser, sizes->segments, 3, sizeof(tenant->segments[0]), &tenant->segments));
    tenant->name_count = (uint32_t)names;
    tenant->pair_count = (uint32_t)pairs;
    tenant->series_count = (uint32_t)series;
    tenant->segment_count = (uint32_t)sizes->segments;
    return MRD_OK;
}

static enum mrd_status parse_texts(struct parser *parser, struct mbx_tenant *tenant,
                                   const struct sizes *sizes)
{
    uint8_t *memory =
        mrd_arena_alloc_array(parser->part->arena, (size_t)sizes->text, sizeof(memory[0]));
    if (memory == NULL) {
        return mrd_arena_fail(parser->part->arena, parser->err);
    }
    struct text text = {memory, (size_t)sizes->text};
    MRD_TRY(parse_names(parser, tenant, &text));
    return parse_values(parser, tenant, &text);
}

static enum mrd_status parse_gaps(struct parser *parser, struct mbx_tenant *tenant,
                                  const struct sizes *sizes)
{
    MRD_TRY(parse_postings(parser, tenant));
    const struct mrd_bytes gaps = mrd_read_bytes(&parser->in, sizes->gaps);
    if (parser->in.failed) {
        return wrong(parser, "series of values");
    }
    tenant->gaps = mrd_arena_copy(parser->part->arena, gaps);
    if (tenant->gaps.data == NULL) {
        return mrd_arena_fail(parser->part->arena, parser->err);
    }
    return place_gaps(parser, tenant);
}

static enum mrd_status parse_tenant(struct parser *parser, struct mbx_tenant *tenant)
{
    struct mrd_reader *in = &parser->in;
    const struct mrd_bytes name = mrd_read_bytes(in, mrd_read_varint(in));
    if (in->failed || name.size == 0 || !mbx_counts_read(in, &tenant->counts) ||
        tenant->counts.series > MRD_BLOCK_SERIES_MAX) {
        return wrong(parser, "a tenant");
    }
    tenant->name = mrd_arena_copy(parser->part->arena, name);
    if (tenant->name.data == NULL) {
        return mrd_arena_fail(parser->part->arena, parser->err);
    }
    struct sizes sizes;
    MRD_TRY(take_tenant(parser, tenant, &sizes));
    MRD_TRY(parse_texts(parser, tenant, &sizes));
    MRD_TRY(parse_gaps(parser, tenant, &sizes));
    return parse_series(parser, tenant, sizes.refs, sizes.segments);
}

static enum mrd_status parse_index(struct parser *parser, struct mrd_bytes bytes)
{
    struct mbx_part *part = parser->part;
    parser->in = mrd_reader_of(bytes);
    parser->page = -1;
    const uint64_t count = mrd_read_varint(&parser->in);
    MRD_TRY(take(parser, count, 24, sizeof(part->tenants[0]), &part->tenants));
    memset(part->tenants, 0, (size_t)count * sizeof(part->tenants[0]));
    part->tenant_count = (uint32_t)count;
    for (uint64_t i = 0; i < count; i++) {
        struct mbx_tenant *tenant = &part->tenants[i];
        MRD_TRY(parse_tenant(parser, tenant));
        if (i > 0 && mrd_bytes_compare(tenant[-1].name, tenant->name) >= 0) {
            return wrong(parser, "the order of tenants");
        }
    }
    if (count == 0 || parser->in.failed || mrd_reader_left(&parser->in) > 0) {
        return wrong(parser, "bytes behind the tenants");
    }
    const bool used = parser->page == (int64_t)part->page_count - 1 &&
                      parser->row == part->pages[parser->page].rows;
    return used ? MRD_OK : wrong(parser, "pages that no series has");
}

enum mrd_status mbx_part_parse(struct mrd_bytes index, struct mrd_bytes pages,
                               const struct mbx_part_of *of, size_t memory_max,
                               const struct mrd_look *look, struct mbx_part **out_part,
                               struct mrd_error *err)
{
    mrd_auto(mbx_part_destroy)
    struct mbx_part *part = calloc(1, sizeof(*part));
    mrd_assert(part != NULL);
    part->arena = mrd_arena_create("part of a sidecar", memory_max);
    part->resolution_ms = of->resolution_ms;
    part->leaf_count = mbx_leaf_count(of->resolution_ms);
    struct parser parser = {.part = part, .pace = {.look = look}, .err = err};
    MRD_TRY(parse_pages(&parser, pages, of->data_size));
    if (of->version == MBX_VERSION_STAMPS) {
        MRD_TRY(parse_spans(&parser, of->data_size));
    }
    if (mrd_reader_left(&parser.in) > 0) {
        return wrong(&parser, "bytes behind the pages");
    }
    MRD_TRY(parse_index(&parser, index));
    *out_part = MRD_MOVE(part);
    return MRD_OK;
}

void mbx_part_destroy(struct mbx_part **part)
{
    if (*part != NULL) {
        mrd_arena_destroy(&(*part)->arena);
        free(*part);
        *part = NULL;
    }
}

const struct mbx_tenant *mbx_part_find(const struct mbx_part *part, struct mrd_bytes name)
{
    size_t from = 0;
    size_t to = part->tenant_count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (mrd_bytes_compare(part->tenants[middle].name, name) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from < part->tenant_count && mrd_bytes_equal(part->tenants[from].name, name)
               ? &part->tenants[from]
               : NULL;
}
