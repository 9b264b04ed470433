#include "merge/merge_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMORY_BYTES_MAX = 512 << 20 };

/* The inputs by id, and which of them are bad. */
struct input {
    const struct mrd_block_entry *entry;
    struct mrd_merge_reader *reader; /* or NULL */
    size_t place;                    /* in the options */
    bool bad;
    uint64_t samples;
    struct mrd_merge_leave leave;
};

struct merge {
    const struct mrd_merge_options *options;
    struct mrd_arena *result; /* the caller's */
    struct input *inputs;
    size_t fan_in;
    size_t memory_bytes;
    struct mrd_merge_bad *bad;
    size_t bad_count;
    uint64_t *input_samples;

    /* of one attempt */
    struct mrd_arena *arena;
    struct mrd_arena *series_arena;
    char name[40];
    struct mrd_merge_chain *chains; /* what is to be merged in this pass */
    size_t *chain_inputs;           /* the first pass: which input a chain is */
    size_t chain_count;
    unsigned passes;
    struct mrd_merge_counts counts;
    const char **temporary; /* keys */
    size_t temporary_count;
    ptrdiff_t failed;   /* the input that ended the attempt, or -1 */
    bool source_failed; /* an input or a temporary block did */
    struct mrd_merge_workspace *workspace;
    struct mrd_merge_output *output;               /* the workspace's */
    struct mrd_merge_rollup_output *rollup_output; /* of one attempt; or NULL */
    const struct mrd_block_entry *rollups;
    size_t rollup_count;
    size_t rollup_writer_bytes;
    struct mrd_block_origin origin;
};

/* ---- options ---- */

static enum mrd_status check_options(const struct mrd_merge_options *options, struct mrd_error *err)
{
    if (options->input_count == 0 || options->input_count > MRD_BLOCK_PARENTS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "merge: %zu inputs: merge 1 to %d at once",
                        options->input_count, MRD_BLOCK_PARENTS_MAX);
    }
    if (options->level == 0 || options->level > MRD_BLOCK_LEVEL_MAX ||
        options->min_ms > options->max_ms || options->tenant.size == 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "merge: outputs are of level 1 to %d, of a tenant and a range of time",
                        MRD_BLOCK_LEVEL_MAX);
    }
    if (options->resolution_count > MRD_ROLLUP_LEVELS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "merge: rollups of %zu resolutions, at most %d",
                        options->resolution_count, MRD_ROLLUP_LEVELS_MAX);
    }
    const size_t memory_min =
        MRD_MERGE_MEMORY_MIN + options->resolution_count * MRD_MERGE_ROLLUP_MEMORY_MIN;
    if (options->memory_bytes_max != 0 && options->memory_bytes_max < memory_min) {
        return mrd_fail(err, MRD_E_INVALID, "merge: memory_bytes_max %zu: give %zu at least",
                        options->memory_bytes_max, memory_min);
    }
    for (size_t i = 0; i < options->resolution_count; i++) {
        const mrd_time_ms before_ms = i == 0 ? 1 : options->resolutions_ms[i - 1];
        if (options->resolutions_ms[i] <= (i == 0 ? 0 : before_ms) ||
            options->resolutions_ms[i] % before_ms != 0) {
            return mrd_fail(err, MRD_E_INVALID,
                            "merge: resolutions must rise, each a multiple of the one before");
        }
    }
    for (size_t i = 0; i < options->input_count; i++) {
        if (options->inputs[i]->resolution_ms != 0) {
            return mrd_fail(err, MRD_E_INVALID,
                            "merge: block %.*s has rows of windows: they are made anew from the "
                            "samples, never merged",
                            MRD_FMT(options->inputs[i]->id));
        }
    }
    for (size_t i = 1; i < options->input_count; i++) {
        const struct mrd_bytes class = options->inputs[i]->origin.residency_class;
        if (!mrd_bytes_equal(class, options->inputs[0]->origin.residency_class)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "merge: blocks of the classes %.*s and %.*s must not meet",
                            MRD_FMT(options->inputs[0]->origin.residency_class), MRD_FMT(class));
        }
    }
    return MRD_OK;
}

static int compare_inputs(const void *a, const void *b)
{
    const struct input *x = a;
    const struct input *y = b;
    return mrd_bytes_compare(x->entry->id, y->entry->id);
}

static enum mrd_status take_inputs(struct merge *merge, struct mrd_error *err)
{
    const size_t count = merge->options->input_count;
    merge->inputs = mrd_arena_alloc_array(merge->result, count, sizeof(*merge->inputs));
    merge->bad = mrd_arena_alloc_array(merge->result, count, sizeof(*merge->bad));
    merge->input_samples =
        mrd_arena_alloc_array(merge->result, count, sizeof(*merge->input_samples));
    if (merge->inputs == NULL || merge->bad == NULL || merge->input_samples == NULL) {
        return mrd_arena_fail(merge->result, err);
    }
    for (size_t i = 0; i < count; i++) {
        struct mrd_merge_reader *const *readers = merge->options->readers;
        merge->inputs[i] = (struct input){.entry = merge->options->inputs[i],
                                          .reader = readers == NULL ? NULL : readers[i],
                                          .place = i};
    }
    qsort(merge->inputs, count, sizeof(merge->inputs[0]), compare_inputs);
    for (size_t i = 1; i < count; i++) {
        if (compare_inputs(&merge->inputs[i - 1], &merge->inputs[i]) == 0) {
            return mrd_fail(err, MRD_E_INVALID, "merge: block %.*s is given twice",
                            MRD_FMT(merge->inputs[i].entry->id));
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct input *input = &merge->inputs[i];
        MRD_TRY(mrd_merge_leave_init(&input->leave, merge->options, input->entry->id, merge->result,
                                     err));
    }
    return MRD_OK;
}

/* Whether both come from one merge above level 0, which has each series in one of them: their names differ in the number only. */
static bool are_of_one_merge(const struct mrd_block_entry *a, const struct mrd_block_entry *b)
{
    const size_t number = sizeof("0000") - 1;
    return a->level > 0 && a->level == b->level && a->id.size == b->id.size &&
           a->id.size > number && memcmp(a->id.data, b->id.data, a->id.size - number) == 0;
}

/* Whether both may have something of a series at one time. */
static bool meet(const struct mrd_block_entry *a, const struct mrd_block_entry *b)
{
    return a->counts.min_ms <= b->counts.max_ms && b->counts.min_ms <= a->counts.max_ms &&
           !are_of_one_merge(a, b);
}

/* Pairs whose stamps cannot be put in order: one of them keeps none, and both their ranges overlap. */
static uint64_t count_unordered(const struct merge *merge)
{
    uint64_t found = 0;
    for (size_t i = 0; i < merge->options->input_count; i++) {
        const struct mrd_block_entry *a = merge->inputs[i].entry;
        for (size_t k = i + 1; !merge->inputs[i].bad && k < merge->options->input_count; k++) {
            const struct mrd_block_entry *b = merge->inputs[k].entry;
            const bool stamps = a->origin.hlc_min <= b->origin.hlc_fence &&
                                b->origin.hlc_min <= a->origin.hlc_fence;
            const bool apart =
                a->level == 0 && b->level == 0 && a->origin.partition != b->origin.partition;
            found += !merge->inputs[k].bad && stamps && !apart && meet(a, b) &&
                     !(a->keeps_hlc && b->keeps_hlc);
        }
    }
    return found;
}

/* ---- names ---- */

static void append_text(struct mrd_buf *out, struct mrd_bytes text)
{
    mrd_buf_append_u32(out, (uint32_t)text.size);
    mrd_buf_append(out, text.data, text.size);
}

static void append_erasures(struct mrd_buf *out, const struct mrd_merge_leave *leave)
{
    for (size_t i = 0; i < leave->count; i++) {
        mrd_buf_append_u64(out, leave->erasures[i]->id.high);
        mrd_buf_append_u64(out, leave->erasures[i]->id.low);
        mrd_buf_append_u64(out, (uint64_t)leave->erasures[i]->time_max_ms);
    }
}

/* The outputs' name: of everything that their bytes follow from. */
static void set_name(struct merge *merge)
{
    const struct mrd_merge_options *options = merge->options;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    append_text(&bytes, options->tenant);
    mrd_buf_append_u64(&bytes, (uint64_t)options->min_ms);
    mrd_buf_append_u64(&bytes, (uint64_t)options->max_ms);
    mrd_buf_append_u64(&bytes, options->shard_bytes_max);
    mrd_buf_append_u64(&bytes, merge->memory_bytes);
    mrd_buf_append_u32(&bytes, options->level);
    mrd_buf_append_u32(&bytes, (uint32_t)options->zstd_level);
    mrd_buf_append_u32(&bytes, (uint32_t)options->keep_hlc | (uint32_t)options->compact << 1);
    for (size_t i = 0; i < options->promoted_count; i++) {
        append_text(&bytes, mrd_bytes_of(options->promoted[i].label));
        mrd_buf_append_u32(&bytes, (uint32_t)options->promoted[i].field_id);
    }
    for (size_t i = 0; i < options->input_count; i++) {
        if (!merge->inputs[i].bad) {
            append_text(&bytes, merge->inputs[i].entry->id);
            append_erasures(&bytes, &merge->inputs[i].leave);
        }
    }
    const struct mrd_id128 hash = mrd_hash128(mrd_buf_view(&bytes), 0);
    (void)snprintf(merge->name, sizeof(merge->name), "%016" PRIx64 "%016" PRIx64, hash.high,
                   hash.low);
}

/* ---- one pass ---- */

/* Where the samples come from. */
static enum mrd_status set_origin(struct merge *merge, struct mrd_error *err)
{
    struct mrd_block_origin *out = &merge->origin;
    struct mrd_bytes *parents =
        mrd_arena_alloc_array(merge->arena, merge->options->input_count, sizeof(*parents));
    if (parents == NULL) {
        return mrd_arena_fail(merge->arena, err);
    }
    *out = (struct mrd_block_origin){.parents = parents,
                                     .residency_class =
                                         merge->options->inputs[0]->origin.residency_class,
                                     .hlc_min = UINT64_MAX};
    for (size_t i = 0; i < merge->options->input_count; i++) {
        const struct mrd_block_entry *entry = merge->inputs[i].entry;
        if (!merge->inputs[i].bad) {
            parents[out->parent_count++] = entry->id;
            out->hlc_min = MRD_MIN(out->hlc_min, entry->origin.hlc_min);
            out->hlc_fence = MRD_MAX(out->hlc_fence, entry->origin.hlc_fence);
        }
    }
    return MRD_OK;
}

static struct mrd_merge_share share_of(const struct merge *merge, size_t sources)
{
    const size_t fixed = (size_t)4 << 20; /* the output's piece, the lists */
    const size_t each = (merge->memory_bytes / 2 - fixed) / sources;
    return (struct mrd_merge_share){
        .sidecar_bytes = each / 2, .window_bytes = each / 4, .piece_bytes = each / 4};
}

/* Days that are merged into their month meet no other, and the month keeps no stamps: those of the days are not read. */
static bool needs_stamps(const struct merge *merge, size_t chain)
{
    bool needed = merge->passes > 0;
    for (size_t i = 0; i < merge->options->input_count && !needed; i++) {
        needed = i != merge->chain_inputs[chain] && !merge->inputs[i].bad &&
                 meet(merge->inputs[i].entry, merge->chains[chain].entries);
    }
    return needed;
}

/* Opens and walks the sources; what fails of them is noted in merge->failed. */
static enum mrd_status walk_sources(struct merge *merge, struct mrd_merge_source *sources,
                                    size_t first, size_t count, struct mrd_merge_output *output,
                                    struct mrd_error *err)
{
    size_t bad = count;
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < count && status == MRD_OK; i++) {
        sources[i] = (struct mrd_merge_source){.options = merge->options,
                                               .share = share_of(merge, count),
                                               .want_hlc = output->keep_hlc ||
                                                           needs_stamps(merge, first + i),
                                               .chain = merge->chains[first + i]};
        if (merge->passes == 0) {
            sources[i].leave = &merge->inputs[merge->chain_inputs[first + i]].leave;
        }
        status = mrd_merge_source_open(&sources[i], err);
        bad = status == MRD_OK ? bad : i;
    }
    if (status == MRD_OK) {
        status = mrd_merge_walk(sources, count, output, &merge->counts, &bad, err);
    }
    merge->source_failed = bad < count;
    if (bad < count && merge->passes == 0) {
        merge->failed = (ptrdiff_t)merge->chain_inputs[first + bad];
    }
    for (size_t i = 0; i < count; i++) {
        if (merge->passes == 0) {
            merge->inputs[merge->chain_inputs[first + i]].samples = sources[i].samples;
        }
    }
    return status;
}

static void set_output(struct merge *merge, const char *name, bool last)
{
    struct mrd_merge_output *output = merge->output;
    const struct mrd_buf entries = output->entries;
    memset(output, 0, offsetof(struct mrd_merge_output, times_ms));
    output->options = merge->options;
    output->origin = &merge->origin;
    output->arena = merge->arena;
    output->name = name;
    output->series_prefix = last ? merge->options->series_prefix : NULL;
    output->compact = merge->options->compact && last;
    output->keep_hlc = merge->options->keep_hlc || !last;
    output->zstd_level = last ? merge->options->zstd_level : 1; /* it is read once */
    output->tap = last ? merge->options->tap : NULL;
    output->rollups = last ? merge->rollup_output : NULL;
    output->writer_bytes = merge->memory_bytes / 2;
    output->entries = entries;
    output->kit = merge->workspace->kit;
    output->series_arena = merge->series_arena;
    mrd_buf_clear(&output->entries);
}

/* Merges chains [first, first + count) into blocks of a name. *out has those that are whole, after a failure too. */
static enum mrd_status merge_group(struct merge *merge, size_t first, size_t count,
                                   const char *name, bool last, struct mrd_merge_chain *out,
                                   struct mrd_error *err)
{
    struct mrd_merge_source sources[MRD_MERGE_FAN_IN_MAX] = {0};
    set_output(merge, name, last);
    const enum mrd_status status = walk_sources(merge, sources, first, count, merge->output, err);
    for (size_t i = 0; i < count; i++) {
        mrd_merge_source_close(&sources[i]);
    }
    mrd_block_writer_destroy(&merge->output->writer);
    const struct mrd_bytes made =
        mrd_arena_copy(merge->arena, mrd_buf_view(&merge->output->entries));
    if (made.data == NULL) {
        return mrd_arena_fail(merge->arena, err);
    }
    *out = (struct mrd_merge_chain){(const struct mrd_block_entry *)(const void *)made.data,
                                    made.size / sizeof(struct mrd_block_entry), NULL};
    return status;
}

/* ---- temporary blocks ---- */

static enum mrd_status note_temporary(struct merge *merge, const struct mrd_merge_chain *chain,
                                      struct mrd_error *err)
{
    const char **keys = mrd_arena_alloc_array(
        merge->arena, merge->temporary_count + 2 * chain->count + 1, sizeof(*keys));
    if (keys == NULL) {
        return mrd_arena_fail(merge->arena, err);
    }
    if (merge->temporary_count > 0) {
        memcpy(keys, merge->temporary, merge->temporary_count * sizeof(*keys));
    }
    merge->temporary = keys;
    for (size_t i = 0; i < 2 * chain->count; i++) {
        const struct mrd_block_entry *entry = &chain->entries[i / 2];
        const struct mrd_bytes key = i % 2 == 0 ? entry->data.key : entry->sidecar.key;
        keys[merge->temporary_count] = mrd_arena_printf(merge->arena, "%.*s", MRD_FMT(key));
        if (keys[merge->temporary_count++] == NULL) {
            merge->temporary_count--;
            return mrd_arena_fail(merge->arena, err);
        }
    }
    return MRD_OK;
}

/* What cannot be deleted is an unreferenced object, which sweepers find. */
static void drop_temporary(struct merge *merge)
{
    if (merge->temporary_count > 0) {
        (void)!mrd_objstore_delete_many(merge->options->store, merge->temporary,
                                        merge->temporary_count, merge->options->control, NULL);
    }
}

/* A pass that makes one chain of temporary blocks of every fan_in chains. */
static enum mrd_status pass(struct merge *merge, struct mrd_error *err)
{
    const size_t groups = (merge->chain_count + merge->fan_in - 1) / merge->fan_in;
    struct mrd_merge_chain *chains = mrd_arena_alloc_array(merge->arena, groups, sizeof(*chains));
    if (chains == NULL) {
        return mrd_arena_fail(merge->arena, err);
    }
    for (size_t g = 0; g < groups; g++) {
        const size_t first = g * merge->fan_in;
        const size_t count = MRD_MIN(merge->fan_in, merge->chain_count - first);
        const char *name =
            mrd_arena_printf(merge->arena, "tmp-%s-%u-%zu", merge->name, merge->passes, g);
        if (name == NULL) {
            return mrd_arena_fail(merge->arena, err);
        }
        chains[g] = (struct mrd_merge_chain){0};
        const enum mrd_status status =
            merge_group(merge, first, count, name, false, &chains[g], err);
        MRD_TRY(note_temporary(merge, &chains[g], status == MRD_OK ? err : NULL));
        MRD_TRY(status);
    }
    merge->chains = chains;
    merge->chain_count = groups;
    merge->passes++;
    return MRD_OK;
}

/* ---- attempts ---- */

static enum mrd_status first_chains(struct merge *merge, struct mrd_error *err)
{
    const size_t count = merge->options->input_count;
    merge->chains = mrd_arena_alloc_array(merge->arena, count, sizeof(*merge->chains));
    merge->chain_inputs = mrd_arena_alloc_array(merge->arena, count, sizeof(size_t));
    if (merge->chains == NULL || merge->chain_inputs == NULL) {
        return mrd_arena_fail(merge->arena, err);
    }
    merge->chain_count = 0;
    for (size_t i = 0; i < count; i++) {
        merge->inputs[i].samples = 0;
        mrd_merge_leave_reset(&merge->inputs[i].leave);
        if (!merge->inputs[i].bad) {
            merge->chain_inputs[merge->chain_count] = i;
            merge->chains[merge->chain_count++] =
                (struct mrd_merge_chain){merge->inputs[i].entry, 1, merge->inputs[i].reader};
        }
    }
    return MRD_OK;
}

static uint64_t samples_of(const struct mrd_merge_chain *chain)
{
    uint64_t samples = 0;
    for (size_t i = 0; i < chain->count; i++) {
        samples += chain->entries[i].counts.samples + chain->entries[i].counts.histograms;
    }
    return samples;
}

/* Every rollup stands for all outputs. */
static enum mrd_status conclude_rollups(struct merge *merge, struct mrd_merge_result *result,
                                        struct mrd_error *err)
{
    struct mrd_block_entry *rollups =
        mrd_arena_alloc_array(merge->result, merge->rollup_count + 1, sizeof(*rollups));
    struct mrd_bytes *ids =
        mrd_arena_alloc_array(merge->result, result->output_count + 1, sizeof(*ids));
    if (rollups == NULL || ids == NULL) {
        return mrd_arena_fail(merge->result, err);
    }
    for (size_t i = 0; i < result->output_count; i++) {
        ids[i] = result->outputs[i].id;
    }
    for (size_t i = 0; i < merge->rollup_count; i++) {
        MRD_TRY(mrd_block_entry_copy(&merge->rollups[i], merge->result, &rollups[i], err));
        rollups[i].origin.parents = ids;
        rollups[i].origin.parent_count = result->output_count;
    }
    result->rollups = rollups;
    result->rollup_count = merge->rollup_count;
    return MRD_OK;
}

static enum mrd_status conclude_erasures(struct merge *merge, struct mrd_merge_result *result,
                                         struct mrd_error *err)
{
    size_t most = 0;
    for (size_t i = 0; i < merge->options->input_count; i++) {
        most += merge->inputs[i].leave.count;
    }
    if (most == 0) {
        return MRD_OK;
    }
    struct mrd_merge_erased *erased = mrd_arena_alloc_array(merge->result, most, sizeof(*erased));
    if (erased == NULL) {
        return mrd_arena_fail(merge->result, err);
    }
    for (size_t i = 0; i < merge->options->input_count; i++) {
        const struct input *input = &merge->inputs[i];
        const struct mrd_merge_leave *leave = &input->leave;
        for (size_t k = 0; k < leave->count && !input->bad; k++) {
            if (leave->counts[k] > 0) {
                erased[result->erasure_count++] = (struct mrd_merge_erased){
                    input->entry->id, leave->erasures[k]->id, leave->counts[k]};
            }
        }
    }
    result->erasures = erased;
    return MRD_OK;
}

/* Adds everything up, and gives the caller its own copy of what there is. */
static enum mrd_status conclude(struct merge *merge, const struct mrd_merge_chain *made,
                                struct mrd_merge_result *out, struct mrd_error *err)
{
    struct mrd_merge_result result = {.bad = merge->bad,
                                      .bad_count = merge->bad_count,
                                      .samples_out = samples_of(made),
                                      .duplicates = merge->counts.duplicates,
                                      .overridden = merge->counts.overridden,
                                      .unordered = count_unordered(merge),
                                      .input_samples = merge->input_samples,
                                      .passes = merge->passes + 1};
    for (size_t i = 0; i < merge->options->input_count; i++) {
        const struct input *input = &merge->inputs[i];
        merge->input_samples[input->place] = input->bad ? 0 : input->samples;
        result.samples_in += input->bad ? 0 : input->samples;
        result.erased += input->bad ? 0 : input->leave.samples;
    }
    if (result.samples_in !=
        result.samples_out + result.duplicates + result.overridden + result.erased) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "merge %s: %" PRIu64 " samples in, but %" PRIu64 " out, %" PRIu64
                        " duplicates, %" PRIu64 " overridden and %" PRIu64
                        " erased: nothing is changed",
                        merge->name, result.samples_in, result.samples_out, result.duplicates,
                        result.overridden, result.erased);
    }
    struct mrd_block_entry *outputs =
        mrd_arena_alloc_array(merge->result, MRD_MAX(made->count, (size_t)1), sizeof(*outputs));
    if (outputs == NULL) {
        return mrd_arena_fail(merge->result, err);
    }
    for (size_t i = 0; i < made->count; i++) {
        MRD_TRY(mrd_block_entry_copy(&made->entries[i], merge->result, &outputs[i], err));
    }
    result.outputs = outputs;
    result.output_count = made->count;
    MRD_TRY(conclude_rollups(merge, &result, err));
    MRD_TRY(conclude_erasures(merge, &result, err));
    *out = result;
    return MRD_OK;
}

static enum mrd_status last_pass(struct merge *merge, struct mrd_merge_chain *out,
                                 struct mrd_error *err)
{
    if (merge->options->resolution_count > 0) {
        merge->rollup_output = mrd_merge_rollup_output_create(
            merge->options, &merge->origin, merge->name, merge->rollup_writer_bytes,
            merge->workspace->kit, merge->arena);
    }
    MRD_TRY(merge_group(merge, 0, merge->chain_count, merge->name, true, out, err));
    return merge->rollup_output == NULL
               ? MRD_OK
               : mrd_merge_rollup_output_end(merge->rollup_output, &merge->rollups,
                                             &merge->rollup_count, err);
}

static enum mrd_status attempt(struct merge *merge, struct mrd_merge_result *out,
                               struct mrd_error *err)
{
    struct mrd_merge_chain made = {0};
    set_name(merge);
    MRD_TRY(set_origin(merge, err));
    MRD_TRY(first_chains(merge, err));
    while (merge->chain_count > merge->fan_in) {
        MRD_TRY(pass(merge, err));
    }
    if (merge->chain_count > 0) {
        MRD_TRY(last_pass(merge, &made, err));
    }
    return conclude(merge, &made, out, err);
}

/* Readers have bounds of their own, which are not those that another attempt goes by. False if there are none. */
static bool leave_readers(struct merge *merge)
{
    bool any = false;
    for (size_t i = 0; i < merge->options->input_count; i++) {
        any |= merge->inputs[i].reader != NULL;
        merge->inputs[i].reader = NULL;
    }
    return any;
}

/* Whether to begin again: without the input that failed, or with fewer at a time. */
static bool learns(struct merge *merge, enum mrd_status status, const struct mrd_error *err)
{
    const bool had_readers = leave_readers(merge);
    if (status == MRD_E_LIMIT && merge->source_failed && had_readers) {
        return true;
    }
    if (status == MRD_E_LIMIT && merge->source_failed && merge->fan_in > 2) {
        merge->fan_in = MRD_MIN(merge->fan_in, merge->options->input_count);
        merge->fan_in = MRD_MAX(merge->fan_in / 2, (size_t)2);
        return true;
    }
    if (merge->failed < 0 || (status != MRD_E_CORRUPT && status != MRD_E_NOT_FOUND)) {
        return false;
    }
    struct input *input = &merge->inputs[merge->failed];
    const char *reason = mrd_arena_printf(merge->result, "%s", err->text);
    input->bad = true;
    merge->bad[merge->bad_count++] = (struct mrd_merge_bad){
        input->entry, status, reason == NULL ? "no memory for the reason" : reason};
    return true;
}

static enum mrd_status run_once(struct merge *merge, struct mrd_merge_result *out,
                                struct mrd_error *err)
{
    merge->arena = mrd_arena_create("merge", SIZE_MAX);
    merge->series_arena = mrd_arena_create("labels of a series", 4 << 20);
    merge->counts = (struct mrd_merge_counts){0};
    merge->passes = 0;
    merge->temporary = NULL;
    merge->temporary_count = 0;
    merge->failed = -1;
    merge->source_failed = false;
    merge->rollup_output = NULL;
    merge->rollups = NULL;
    merge->rollup_count = 0;
    const enum mrd_status status = attempt(merge, out, err);
    drop_temporary(merge);
    mrd_merge_rollup_output_destroy(&merge->rollup_output);
    mrd_arena_destroy(&merge->series_arena);
    mrd_arena_destroy(&merge->arena);
    return status;
}

/* A quarter is for rollups, or as little as their writers need. */
static void share_memory(struct merge *merge)
{
    const size_t count = merge->options->resolution_count;
    if (count > 0) {
        merge->rollup_writer_bytes =
            MRD_MAX(merge->memory_bytes / 4 / count, MRD_MERGE_ROLLUP_MEMORY_MIN);
        merge->memory_bytes = merge->memory_bytes - merge->rollup_writer_bytes * count;
    }
}

bool mrd_merge_stands_for(const struct mrd_block_entry *rollup, const struct mrd_bytes *ids,
                          size_t count)
{
    for (size_t i = 0; rollup->resolution_ms != 0 && i < rollup->origin.parent_count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (mrd_bytes_equal(rollup->origin.parents[i], ids[k])) {
                return true;
            }
        }
    }
    return false;
}

enum mrd_status mrd_merge_run(const struct mrd_merge_options *options, struct mrd_arena *arena,
                              struct mrd_merge_result *out, struct mrd_error *err)
{
    struct mrd_error unused;
    struct mrd_error *why = err == NULL ? &unused : err;
    MRD_TRY(check_options(options, err));
    struct merge merge = {
        .options = options,
        .result = arena,
        .fan_in = options->fan_in_max == 0 ? MRD_MERGE_FAN_IN_MAX : options->fan_in_max,
        .memory_bytes =
            options->memory_bytes_max == 0 ? MEMORY_BYTES_MAX : options->memory_bytes_max,
    };
    merge.fan_in = MRD_MIN(MRD_MAX(merge.fan_in, (size_t)2), (size_t)MRD_MERGE_FAN_IN_MAX);
    share_memory(&merge);
    MRD_TRY(take_inputs(&merge, err));
    mrd_auto(mrd_merge_workspace_destroy)
    struct mrd_merge_workspace *own =
        options->workspace == NULL ? mrd_merge_workspace_create() : NULL;
    merge.workspace = own == NULL ? options->workspace : own;
    merge.output = merge.workspace->output;
    enum mrd_status status = run_once(&merge, out, why);
    while (status != MRD_OK && learns(&merge, status, why)) {
        status = options->tap == NULL ? MRD_OK : options->tap->restart(options->tap->context, why);
        if (status == MRD_OK) {
            status = run_once(&merge, out, why);
        } else {
            merge.failed = -1;
            merge.source_failed = false;
        }
    }
    return status;
}
