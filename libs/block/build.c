#include <stdlib.h>

#include "base/hash.h"
#include "block/bloom.h"
#include "block/build_internal.h"

enum { SLOTS_KEPT = 1024 };

struct build_pair {
    uint64_t hash;
    uint32_t name_at, name_size;
    uint32_t value_at, value_size;
};

struct build_series {
    uint32_t refs_count;
    uint32_t segments_count;
};

static struct build_pair *pairs_of(const struct mbx_build *build)
{
    return (struct build_pair *)(void *)build->pairs.data;
}

static size_t pair_count(const struct mbx_build *build)
{
    return build->pairs.size / sizeof(struct build_pair);
}

static struct mrd_bytes text_at(const struct mbx_build *build, uint32_t at, uint32_t size)
{
    return (struct mrd_bytes){build->text.data + at, size};
}

void mbx_build_init(struct mbx_build *build, struct mrd_pq_compressor *compressor, bool rollup)
{
    *build = (struct mbx_build){.compressor = compressor, .rollup = rollup};
    build->text.limit = UINT32_MAX / 2; /* offsets have 32 bits */
    mrd_buf_append_bytes(&build->sidecar, MRD_BYTES(MBX_MAGIC));
}

static void clear_tenant(struct mbx_build *build)
{
    struct mrd_buf *bufs[] = {&build->text, &build->pairs, &build->refs, &build->series,
                              &build->segments};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_clear(bufs[i]);
    }
    if (build->slot_count >
        SLOTS_KEPT) { /* a hundred thousand small tenants may follow a large one */
        free(build->slots);
        build->slots = NULL;
        build->slot_count = 0;
    } else if (build->slot_count > 0) {
        memset(build->slots, 0, build->slot_count * sizeof(build->slots[0]));
    }
    build->refs_before = 0;
}

void mbx_build_fini(struct mbx_build *build)
{
    struct mrd_buf *bufs[] = {&build->sidecar, &build->body,        &build->text,     &build->pairs,
                              &build->refs,    &build->series,      &build->segments, &build->keys,
                              &build->tenants, &build->tenant_names};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_fini(bufs[i]);
    }
    free(build->slots);
    build->slots = NULL;
}

static void add_key(struct mbx_build *build, uint64_t key)
{
    mrd_buf_append_u64(&build->keys, key);
}

void mbx_build_tenant(struct mbx_build *build, struct mrd_bytes name)
{
    clear_tenant(build);
    mbx_counts_init(&build->counts);
    const size_t at = build->tenant_names.size;
    mrd_buf_append_bytes(&build->tenant_names, name);
    build->tenant = (struct mrd_bytes){build->tenant_names.data + at, name.size};
    build->bloom_seed = mrd_block_bloom_tenant(name);
    add_key(build, build->bloom_seed);
}

/* ---- pairs ---- */

static uint64_t hash_of(const struct mrd_label *label)
{
    return mrd_hash64(label->value, mrd_hash64(label->name, 0));
}

static bool pair_is(const struct mbx_build *build, const struct build_pair *pair,
                    const struct mrd_label *label)
{
    return mrd_bytes_equal(text_at(build, pair->value_at, pair->value_size), label->value) &&
           mrd_bytes_equal(text_at(build, pair->name_at, pair->name_size), label->name);
}

static void grow_slots(struct mbx_build *build)
{
    const size_t wanted = MRD_MAX(build->slot_count * 2, (size_t)64);
    free(build->slots);
    build->slots = calloc(wanted, sizeof(build->slots[0]));
    mrd_assert(build->slots != NULL);
    build->slot_count = wanted;
    for (size_t i = 0; i < pair_count(build); i++) {
        size_t at = pairs_of(build)[i].hash & (wanted - 1);
        while (build->slots[at] != 0) {
            at = (at + 1) & (wanted - 1);
        }
        build->slots[at] = (uint32_t)i + 1;
    }
}

static uint32_t add_pair(struct mbx_build *build, const struct mrd_label *label, uint64_t hash,
                         size_t slot)
{
    const struct build_pair pair = {
        .hash = hash,
        .name_at = (uint32_t)build->text.size,
        .name_size = (uint32_t)label->name.size,
        .value_at = (uint32_t)(build->text.size + label->name.size),
        .value_size = (uint32_t)label->value.size,
    };
    const uint32_t index = (uint32_t)pair_count(build);
    mrd_buf_append_bytes(&build->text, label->name);
    mrd_buf_append_bytes(&build->text, label->value);
    mrd_buf_append(&build->pairs, &pair, sizeof(pair));
    build->slots[slot] = index + 1;
    add_key(build, mrd_block_bloom_pair(build->bloom_seed, label->name, label->value));
    return index;
}

static uint32_t intern(struct mbx_build *build, const struct mrd_label *label)
{
    if (pair_count(build) * 2 >= build->slot_count) {
        grow_slots(build);
    }
    const uint64_t hash = hash_of(label);
    size_t at = hash & (build->slot_count - 1);
    while (build->slots[at] != 0) {
        const struct build_pair *pair = &pairs_of(build)[build->slots[at] - 1];
        if (pair->hash == hash && pair_is(build, pair, label)) {
            return build->slots[at] - 1;
        }
        at = (at + 1) & (build->slot_count - 1);
    }
    return add_pair(build, label, hash, at);
}

void mbx_build_series(struct mbx_build *build, struct mrd_labels labels)
{
    const struct build_series series = {.refs_count = (uint32_t)labels.count};
    const size_t before = build->refs_before;
    const size_t before_count = build->refs.size / sizeof(uint32_t) - before;
    build->refs_before = build->refs.size / sizeof(uint32_t);
    for (size_t i = 0; i < labels.count && !mbx_build_failed(build); i++) {
        /* Series come sorted: most labels are those of the series before. */
        const uint32_t *refs = (const uint32_t *)(const void *)build->refs.data;
        uint32_t pair = UINT32_MAX;
        if (i < before_count &&
            pair_is(build, &pairs_of(build)[refs[before + i]], &labels.items[i])) {
            pair = refs[before + i];
        } else {
            pair = intern(build, &labels.items[i]);
        }
        mrd_buf_append_u32(&build->refs, pair);
    }
    mrd_buf_append(&build->series, &series, sizeof(series));
    build->counts.series++;
}

void mbx_build_segment(struct mbx_build *build, const struct mbx_segment *segment, uint64_t floats,
                       uint64_t histograms)
{
    struct build_series *series =
        (struct build_series *)(void *)(build->series.data + build->series.size) - 1;
    series->segments_count++;
    mrd_buf_append(&build->segments, segment, sizeof(*segment));
    build->counts.samples += floats;
    build->counts.histograms += histograms;
    build->counts.min_ms = MRD_MIN(build->counts.min_ms, segment->first_ms);
    build->counts.max_ms = MRD_MAX(build->counts.max_ms, segment->last_ms);
}

/* ---- a tenant to bytes ---- */

static int compare_pairs(const void *a, const void *b, void *context)
{
    const struct mbx_build *build = context;
    const struct build_pair *left = &pairs_of(build)[*(const uint32_t *)a];
    const struct build_pair *right = &pairs_of(build)[*(const uint32_t *)b];
    const int order = mrd_bytes_compare(text_at(build, left->name_at, left->name_size),
                                        text_at(build, right->name_at, right->name_size));
    return order != 0 ? order
                      : mrd_bytes_compare(text_at(build, left->value_at, left->value_size),
                                          text_at(build, right->value_at, right->value_size));
}

/* What encoding a tenant needs. */
struct plan {
    uint32_t *order;    /* pairs, sorted */
    uint32_t *rank;     /* of each pair */
    uint32_t *starts;   /* where the series of each ranked pair begin in `ordinals` */
    uint32_t *ordinals; /* series of the pairs, one after the other */
};

static void *take(size_t count, size_t size)
{
    void *memory = calloc(MRD_MAX(count, (size_t)1), size);
    mrd_assert(memory != NULL);
    return memory;
}

static void plan_init(struct plan *plan, struct mbx_build *build)
{
    const size_t pairs = pair_count(build);
    const size_t refs = build->refs.size / sizeof(uint32_t);
    const uint32_t *ref = (const uint32_t *)(const void *)build->refs.data;
    plan->order = take(pairs, sizeof(uint32_t));
    plan->rank = take(pairs, sizeof(uint32_t));
    plan->starts = take(pairs + 2, sizeof(uint32_t));
    plan->ordinals = take(refs, sizeof(uint32_t));
    for (size_t i = 0; i < pairs; i++) {
        plan->order[i] = (uint32_t)i;
    }
    qsort_r(plan->order, pairs, sizeof(uint32_t), compare_pairs, build);
    for (size_t i = 0; i < pairs; i++) {
        plan->rank[plan->order[i]] = (uint32_t)i;
    }
    for (size_t i = 0; i < refs; i++) { /* counts, two further on */
        plan->starts[plan->rank[ref[i]] + 2]++;
    }
    for (size_t i = 2; i < pairs + 2; i++) {
        plan->starts[i] += plan->starts[i - 1];
    }
    const struct build_series *series =
        (const struct build_series *)(const void *)build->series.data;
    for (uint32_t i = 0; i < build->counts.series; i++) { /* starts[r + 1] moves to its end */
        for (uint32_t k = 0; k < series[i].refs_count; k++, ref++) {
            plan->ordinals[plan->starts[plan->rank[*ref] + 1]++] = i;
        }
    }
}

static void plan_fini(struct plan *plan)
{
    free(plan->order);
    free(plan->rank);
    free(plan->starts);
    free(plan->ordinals);
}

static bool same_name(const struct mbx_build *build, const struct build_pair *a,
                      const struct build_pair *b)
{
    return mrd_bytes_equal(text_at(build, a->name_at, a->name_size),
                           text_at(build, b->name_at, b->name_size));
}

static void write_names(const struct mbx_build *build, const struct plan *plan, struct mrd_buf *out,
                        uint32_t *out_count, uint64_t *out_text)
{
    const struct build_pair *pairs = pairs_of(build);
    const size_t count = pair_count(build);
    *out_count = 0;
    *out_text = 0;
    for (size_t i = 0, end; i < count; i = end) {
        const struct build_pair *first = &pairs[plan->order[i]];
        for (end = i; end < count && same_name(build, first, &pairs[plan->order[end]]); end++) {
            *out_text += pairs[plan->order[end]].value_size;
        }
        mrd_buf_append_varint(out, first->name_size);
        mrd_buf_append_bytes(out, text_at(build, first->name_at, first->name_size));
        mrd_buf_append_varint(out, end - i);
        *out_text += first->name_size;
        (*out_count)++;
    }
}

static size_t shared_size(struct mrd_bytes a, struct mrd_bytes b)
{
    size_t size = 0;
    while (size < a.size && size < b.size && a.data[size] == b.data[size]) {
        size++;
    }
    return size;
}

static void write_values(const struct mbx_build *build, const struct plan *plan,
                         struct mrd_buf *out)
{
    const struct build_pair *pairs = pairs_of(build);
    struct mrd_bytes before = MRD_BYTES_NONE;
    for (size_t i = 0; i < pair_count(build); i++) {
        const struct build_pair *pair = &pairs[plan->order[i]];
        if (i > 0 && !same_name(build, &pairs[plan->order[i - 1]], pair)) {
            before = MRD_BYTES_NONE;
        }
        const struct mrd_bytes value = text_at(build, pair->value_at, pair->value_size);
        const size_t shared = shared_size(before, value);
        mrd_buf_append_varint(out, shared);
        mrd_buf_append_varint(out, value.size - shared);
        mrd_buf_append(out, value.data + shared, value.size - shared);
        before = value;
    }
}

static void write_postings(const struct mbx_build *build, const struct plan *plan,
                           struct mrd_buf *out, struct mrd_buf *gaps)
{
    for (size_t i = 0; i < pair_count(build); i++) {
        const uint32_t *items = plan->ordinals + plan->starts[i];
        const uint32_t count = plan->starts[i + 1] - plan->starts[i];
        const bool range = items[count - 1] - items[0] == count - 1;
        mrd_buf_append_varint(out, (uint64_t)count << 1 | range);
        mrd_buf_append_varint(out, items[0]);
        for (uint32_t k = 1; k < count && !range; k++) {
            mrd_buf_append_varint(gaps, items[k] - items[k - 1] - 1);
        }
    }
}

static void write_segment(const struct mbx_segment *segment, bool rollup, mrd_time_ms before,
                          struct mrd_buf *out)
{
    mrd_buf_append_u8(out, segment->flags);
    if (!rollup && (segment->flags & MBX_SCALED) != 0) {
        mrd_buf_append_u8(out, segment->digits);
    }
    mrd_buf_append_varint(out, segment->rows);
    mrd_buf_append_zigzag(out, segment->first_ms - before);
    if (segment->rows > 1) {
        mrd_buf_append_varint(out, (segment->flags & MBX_REGULAR) != 0
                                       ? (uint64_t)segment->step_ms
                                       : (uint64_t)(segment->last_ms - segment->first_ms));
    }
}

static void write_series(const struct mbx_build *build, const struct plan *plan,
                         struct mrd_buf *out)
{
    const struct build_series *series =
        (const struct build_series *)(const void *)build->series.data;
    const uint32_t *ref = (const uint32_t *)(const void *)build->refs.data;
    const struct mbx_segment *segment =
        (const struct mbx_segment *)(const void *)build->segments.data;
    for (uint64_t i = 0; i < build->counts.series; i++) {
        mrd_buf_append_varint(out, series[i].refs_count);
        uint32_t before = 0;
        for (uint32_t k = 0; k < series[i].refs_count; k++, ref++) {
            mrd_buf_append_varint(out, plan->rank[*ref] - before);
            before = plan->rank[*ref];
        }
        mrd_buf_append_varint(out, series[i].segments_count);
        mrd_time_ms last_ms = build->counts.min_ms;
        for (uint32_t k = 0; k < series[i].segments_count; k++, segment++) {
            write_segment(segment, build->rollup, last_ms, out);
            last_ms = segment->last_ms;
        }
    }
}

static void write_tenant(struct mbx_build *build, const struct plan *plan)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf names = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf postings = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf gaps = {0};
    uint32_t name_count;
    uint64_t text_size;
    write_names(build, plan, &names, &name_count, &text_size);
    write_postings(build, plan, &postings, &gaps);
    struct mrd_buf *out = &build->body;
    mrd_buf_append_varint(out, build->tenant.size);
    mrd_buf_append_bytes(out, build->tenant);
    mbx_counts_write(&build->counts, out);
    mrd_buf_append_varint(out, name_count);
    mrd_buf_append_varint(out, pair_count(build));
    mrd_buf_append_varint(out, text_size);
    mrd_buf_append_varint(out, gaps.size);
    mrd_buf_append_varint(out, build->refs.size / sizeof(uint32_t));
    mrd_buf_append_varint(out, build->segments.size / sizeof(struct mbx_segment));
    mrd_buf_append_bytes(out, mrd_buf_view(&names));
    write_values(build, plan, out);
    mrd_buf_append_bytes(out, mrd_buf_view(&postings));
    mrd_buf_append_bytes(out, mrd_buf_view(&gaps));
    write_series(build, plan, out);
}

bool mbx_build_tenant_end(struct mbx_build *build)
{
    struct plan plan = {0};
    plan_init(&plan, build);
    write_tenant(build, &plan);
    plan_fini(&plan);
    build->tenant_count++;
    const struct mrd_block_tenant tenant = {.name = build->tenant, .counts = build->counts};
    mrd_buf_append(&build->tenants, &tenant, sizeof(tenant)); /* .data is set again at the end */
    clear_tenant(build);
    return build->body.size >= MBX_PART_BYTES;
}

void mbx_build_part_end(struct mbx_build *build, struct mbx_frame *out_index,
                        uint64_t *out_tenants_count)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    mrd_buf_append_varint(&plain, build->tenant_count);
    mrd_buf_append_bytes(&plain, mrd_buf_view(&build->body));
    mrd_buf_fini(&build->body); /* may have been large */
    mbx_frame_write(mrd_buf_view(&plain), build->compressor, &build->sidecar, out_index);
    *out_tenants_count = build->tenant_count;
    build->tenant_count = 0;
}

/* ---- pages ---- */

void mbx_pages_write(const struct mbx_page *pages, size_t count, unsigned leaf_count,
                     struct mrd_buf *out)
{
    uint64_t expected[MBX_LEAVES_MAX] = {0};
    mrd_buf_append_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        unsigned mask = 0;
        for (unsigned leaf = 0; leaf < leaf_count; leaf++) {
            mask |= (pages[i].leaves[leaf].size > 0 ? 1U : 0U) << leaf;
        }
        mrd_buf_append_varint(out, pages[i].rows);
        mrd_buf_append_varint(out, mask);
        for (unsigned leaf = 0; leaf < leaf_count; leaf++) {
            const struct mbx_page_at *at = &pages[i].leaves[leaf];
            if (at->size > 0) {
                mrd_buf_append_zigzag(out, (int64_t)(at->offset - expected[leaf]));
                mrd_buf_append_varint(out, at->size);
                mrd_buf_append_u32(out, at->crc32c);
                expected[leaf] = at->offset + at->size;
            }
        }
    }
}

void mbx_spans_write(const struct mbx_span *spans, size_t count, struct mrd_buf *out)
{
    uint64_t expected = 0;
    mrd_buf_append_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_varint(out, spans[i].pages);
        mrd_buf_append_zigzag(out, (int64_t)(spans[i].offset - expected));
        mrd_buf_append_varint(out, spans[i].size);
        mrd_buf_append_varint(out, spans[i].stamps);
        mrd_buf_append_u32(out, spans[i].crc32c);
        expected = spans[i].offset + spans[i].size;
    }
}

/* ---- figures ---- */

size_t mbx_build_memory(const struct mbx_build *build)
{
    /* Encoding a tenant takes an index of the pairs and a number for each ref, and the body twice. */
    return build->sidecar.size + 2 * build->body.size + 2 * build->text.size + build->pairs.size +
           pair_count(build) * 16 + 3 * build->refs.size + build->series.size +
           2 * build->segments.size + build->slot_count * sizeof(uint32_t) + build->keys.size +
           build->tenants.size + build->tenant_names.size;
}

bool mbx_build_failed(const struct mbx_build *build)
{
    return build->text.failed || build->sidecar.failed || build->body.failed ||
           build->pairs.failed || build->refs.failed;
}
