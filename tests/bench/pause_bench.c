/* pause_bench.c: how long reading of a large head, and of exemplars and metadata, goes on without a look at whether anybody waits for it.
 *
 *   pause_bench [series]      default 1000000
 *
 * All series are of one tenant and one partition. For each kind of reading: CPU time in all, and the longest from one look to the next, its
 * beginning and its end included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "head/head_internal.h"
#include "ingester/exemplars.h"
#include "ingester/families.h"

enum { BUCKET_MS = 2 * 3600 * 1000, NAMES = 1000 };
static const mrd_time_ms T0 = 1700000000000 / BUCKET_MS * BUCKET_MS;

/* CPU time of this thread: others share the machine. */
static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

struct stretches {
    double begun_ms;
    double last_ms;
    double longest_ms;
    size_t looks;
};

static void stretch_end(struct stretches *stretches)
{
    const double time_ms = now_ms();
    stretches->longest_ms = MRD_MAX(stretches->longest_ms, time_ms - stretches->last_ms);
    stretches->last_ms = time_ms;
}

static enum mrd_status look(void *context, struct mrd_error *err)
{
    struct stretches *stretches = context;
    (void)err;
    stretches->looks++;
    stretch_end(stretches);
    return MRD_OK;
}

static struct stretches begin(void)
{
    const double time_ms = now_ms();
    return (struct stretches){.begun_ms = time_ms, .last_ms = time_ms};
}

static void print(const char *what, struct stretches *stretches)
{
    stretch_end(stretches);
    printf("%-34s %9.1f ms, at most %7.3f ms between %zu looks\n", what,
           stretches->last_ms - stretches->begun_ms, stretches->longest_ms, stretches->looks);
}

/* ---- the head ---- */

static struct mrd_bytes labels_of(size_t i, struct mrd_buf *out)
{
    char name[32];
    char host[32];
    char zone[32];
    (void)snprintf(name, sizeof(name), "metric_%zu", i % NAMES);
    (void)snprintf(host, sizeof(host), "host-%08zu", i * 2654435761U % 100000000);
    (void)snprintf(zone, sizeof(zone), "zone-%zu", i % 4);
    const struct mrd_label labels[] = {
        {MRD_BYTES("__name__"), mrd_bytes_of(name)},
        {MRD_BYTES("host"),     mrd_bytes_of(host)},
        {MRD_BYTES("zone"),     mrd_bytes_of(zone)}
    };
    mrd_buf_clear(out);
    mrd_labels_encode((struct mrd_labels){labels, 3}, out);
    return mrd_buf_view(out);
}

/* Each has a closed chunk and an open one. */
static struct mrd_head *head_fill(size_t count)
{
    struct mrd_head *head = NULL;
    struct mrd_buf labels = {0};
    mrd_assert(mrd_head_create(&(struct mrd_head_options){0}, &head, NULL) == MRD_OK);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_bytes canonical = labels_of(i, &labels);
        const struct mrd_head_series_key key = {
            MRD_BYTES("t"), mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("t")), canonical),
            canonical};
        uint32_t ordinal;
        mrd_assert(mrd_head_series(head, &key, mrd_hlc_make(T0, 0), &ordinal, NULL) == MRD_OK);
        const uint32_t ordinals[] = {ordinal, ordinal, ordinal};
        const mrd_time_ms times_ms[] = {T0 + 1000, T0 + 2000, T0 + BUCKET_MS};
        const double values[] = {1, 2, 3};
        const struct mrd_head_batch batch = {.ordinals = ordinals,
                                             .row_count = 3,
                                             .times_ms = times_ms,
                                             .values = values,
                                             .sample_count = 3,
                                             .hlc = mrd_hlc_make(T0, 0)};
        struct mrd_head_append_result result = {0};
        mrd_assert(mrd_head_append(head, &batch, &result, NULL) == MRD_OK);
    }
    mrd_buf_fini(&labels);
    return head;
}

static struct mrd_head_query query_of(struct stretches *stretches)
{
    return (struct mrd_head_query){
        .tenant = MRD_BYTES("t"),
        .time_min_ms = T0,
        .time_max_ms = T0 + 2 * (mrd_time_ms)BUCKET_MS,
        .pause = {look, stretches}
    };
}

static void bench_select(struct mrd_head *head, const char *what, bool in_order, bool unsorted)
{
    struct mrd_head_cursor *cursor = NULL;
    if (unsorted) { /* as after ordinals were given out again */
        struct head_list *list = &head_tenant(head, head_tenant_find(head, MRD_BYTES("t")))->series;
        uint32_t *items = head_list_items(head, list);
        for (uint32_t i = 0; i < list->count; i++) {
            const uint32_t other = (uint32_t)((uint64_t)i * 2654435761U % list->count);
            const uint32_t item = items[i];
            items[i] = items[other];
            items[other] = item;
        }
        list->unsorted = 1;
    }
    struct stretches stretches = begin();
    struct mrd_head_query query = query_of(&stretches);
    query.in_order = in_order;
    mrd_assert(mrd_head_select(head, &query, &cursor, NULL) == MRD_OK);
    print(what, &stretches);
    stretches = begin();
    while (!mrd_head_cursor_at_end(cursor)) {
        struct mrd_head_selection *selection = NULL;
        mrd_assert(mrd_head_cursor_next(cursor, 192 * 1024, &selection, NULL) == MRD_OK);
        mrd_head_selection_destroy(&selection);
        stretch_end(&stretches); /* the question's own look */
    }
    print("  its slices", &stretches);
    mrd_head_cursor_destroy(&cursor);
}

static void emit_text(void *context, struct mrd_bytes text)
{
    (void)context;
    (void)text;
}

static void emit_count(void *context, struct mrd_bytes text, uint64_t series, uint64_t values)
{
    (void)context;
    (void)text;
    (void)series;
    (void)values;
}

static void bench_lists(struct mrd_head *head)
{
    const struct mrd_bytes tenant = MRD_BYTES("t");
    uint64_t count = 0;
    struct mrd_head_tenant_figures figures;
    struct stretches stretches = begin();
    struct mrd_head_query query = query_of(&stretches);
    mrd_assert(mrd_head_label_names(head, &query, emit_text, NULL, NULL) == MRD_OK);
    print("names of labels", &stretches);
    stretches = begin();
    mrd_assert(mrd_head_label_values(head, &query, MRD_BYTES("host"), emit_text, NULL, NULL) ==
               MRD_OK);
    print("values of a label", &stretches);
    stretches = begin();
    mrd_assert(mrd_head_count_by_value(head, tenant, MRD_BYTES("host"), &query.pause, emit_count,
                                       NULL, NULL) == MRD_OK);
    print("counts by value", &stretches);
    stretches = begin();
    mrd_assert(mrd_head_count_by_name(head, tenant, &query.pause, emit_count, NULL, NULL) ==
               MRD_OK);
    print("counts by name", &stretches);
    stretches = begin();
    mrd_assert(mrd_head_tenant_series(head, tenant, &query.pause, &count, NULL) == MRD_OK);
    print("count of series", &stretches);
    stretches = begin();
    mrd_assert(mrd_head_tenant_figures(head, tenant, &query.pause, &figures, NULL) == MRD_OK);
    print("figures of chunks", &stretches);
}

static void bench_known(struct mrd_head *head, size_t count)
{
    enum { IDS = 32768 };
    mrd_series_id *ids = calloc(IDS, sizeof(*ids));
    uint8_t bits[IDS / 8];
    struct mrd_buf labels = {0};
    uint64_t total = 0;
    mrd_assert(ids != NULL);
    for (size_t i = 0; i < IDS; i++) {
        ids[i] =
            mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("t")), labels_of(i * 31 % count, &labels));
    }
    struct stretches stretches = begin();
    const struct mrd_head_pause pause = {look, &stretches};
    mrd_assert(mrd_head_known(head, MRD_BYTES("t"), ids, IDS, &pause, bits, &total, NULL) ==
               MRD_OK);
    print("known ids (32768)", &stretches);
    mrd_buf_fini(&labels);
    free(ids);
}

/* Of the closed chunk half, then all that is left. */
static void bench_erase(struct mrd_head *head)
{
    struct mrd_head_erased erased = {0};
    struct stretches stretches = begin();
    struct mrd_head_query query = query_of(&stretches);
    query.time_max_ms = T0 + 1500;
    mrd_head_erase(head, &query, &erased);
    print("erasing parts of chunks", &stretches);
    bench_lists(head);
    stretches = begin();
    query.time_max_ms = T0 + 2 * (mrd_time_ms)BUCKET_MS;
    mrd_head_erase(head, &query, &erased);
    print("erasing all", &stretches);
    mrd_assert(erased.samples > 0);
}

/* ---- beside it ---- */

static void emit_exemplar(void *context, struct mrd_bytes labels, const struct mrd_exemplar *item)
{
    (void)context;
    (void)labels;
    (void)item;
}

static void emit_family(void *context, const struct ing_family *family)
{
    (void)context;
    (void)family;
}

static void bench_exemplars(size_t count)
{
    struct ing_exemplars *exemplars = ing_exemplars_create();
    struct mrd_arena *arena = mrd_arena_create("labels", 1 << 20);
    struct mrd_buf labels = {0};
    const struct mrd_exemplar exemplar = {.time_ms = T0, .value = 1};
    for (size_t i = 0; i < count; i++) { /* the table of series is an array: in its order */
        char number[32];
        (void)snprintf(number, sizeof(number), "%09zu", i);
        const struct mrd_label label = {MRD_BYTES("__name__"), mrd_bytes_of(number)};
        mrd_buf_clear(&labels);
        mrd_labels_encode((struct mrd_labels){&label, 1}, &labels);
        mrd_assert(ing_exemplars_add(exemplars, MRD_BYTES("t"), count, mrd_buf_view(&labels),
                                     &exemplar) == ING_EXEMPLAR_TAKEN);
    }
    struct stretches stretches = begin();
    const struct ing_exemplar_query query = {
        .look = {look, &stretches},
          .tenant = MRD_BYTES("t"), .time_max_ms = INT64_MAX
    };
    mrd_assert(ing_exemplars_select(exemplars, &query, arena, emit_exemplar, NULL, NULL) == MRD_OK);
    print("exemplars", &stretches);
    stretches = begin();
    const struct mrd_erasure_selector all = {0};
    const struct mrd_erasure erasure = {.tenant = MRD_BYTES("t"),
                                        .time_min_ms = INT64_MIN,
                                        .time_max_ms = INT64_MAX,
                                        .selectors = &all,
                                        .selector_count = 1};
    (void)ing_exemplars_erase(exemplars, &erasure, &query.look);
    print("erasing exemplars", &stretches);
    mrd_buf_fini(&labels);
    mrd_arena_destroy(&arena);
    ing_exemplars_destroy(&exemplars);
}

static void bench_families(size_t count)
{
    struct ing_families *families = ing_families_create();
    for (size_t i = 0; i < count; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%09zu", i);
        const struct ing_family family = {
            .metadata = {.family = mrd_bytes_of(name), .help = MRD_BYTES("What it counts.")}
        };
        mrd_assert(ing_families_put(families, MRD_BYTES("t"), count, &family));
    }
    struct stretches stretches = begin();
    const struct mrd_look looking = {look, &stretches};
    mrd_assert(ing_families_each(families, MRD_BYTES("t"), MRD_BYTES_NONE, &looking, emit_family,
                                 NULL, NULL) == MRD_OK);
    print("metadata", &stretches);
    stretches = begin();
    ing_families_drop(families, MRD_BYTES("t"), mrd_hlc_make(T0, 0));
    print("dropping metadata", &stretches);
    ing_families_destroy(&families);
}

int main(int argc, char **argv)
{
    const size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    struct mrd_head *head = head_fill(count);
    printf("%zu series\n", count);
    bench_select(head, "select", false, false);
    bench_select(head, "select, list unsorted", false, true);
    bench_select(head, "select in order", true, false);
    bench_lists(head);
    bench_known(head, count);
    bench_erase(head);
    mrd_head_destroy(&head);
    bench_exemplars(count);
    bench_families(count);
    return 0;
}
