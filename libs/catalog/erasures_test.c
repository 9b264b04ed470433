/* Erasures of the catalog: which blocks owe them, what may leave, and when they are done. */
#include "catalog/testing_internal.h"

#include "catalog/request.h"

enum { PARTITIONS = 3 };
static const uint64_t SEQUENCES[PARTITIONS] = {100, 200, 300};
static const char DIGEST[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct mrd_catalog_erasure_change erasure_of(uint64_t number)
{
    return (struct mrd_catalog_erasure_change){
        .id = {.low = number, .high = number % 2},
        .tenant = MRD_BYTES("farm-7"),
        .hlc = 77,
        .time_min_ms = 500,
        .time_max_ms = 600,
        .request_key = MRD_BYTES("erasures/x"),
        .request_digest = mrd_bytes_of(DIGEST),
        .sequences = SEQUENCES,
        .partition_count = PARTITIONS,
    };
}

static enum mrd_status erase(struct mrd_catalog *catalog, uint64_t number)
{
    const struct mrd_catalog_erasure_change erasure = erasure_of(number);
    const struct mrd_catalog_change change = {.erasures = &erasure, .erasure_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

static enum mrd_status finish(struct mrd_catalog *catalog, uint64_t number)
{
    const struct mrd_id128 id = erasure_of(number).id;
    const struct mrd_catalog_change change = {.done = &id, .done_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

/* Settles, and removes too if samples were erased. */
static enum mrd_status settle(struct mrd_catalog *catalog, uint64_t number, const char *block,
                              uint64_t samples)
{
    const struct mrd_bytes id = mrd_bytes_of(block);
    const struct mrd_catalog_settled settled = {erasure_of(number).id, id, samples};
    const struct mrd_catalog_change change = {
        .settled = &settled, .settled_count = 1, .remove = &id, .remove_count = samples > 0};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

/* A block of level 0 of a partition, with sequences up to `last`, in the commit that builds them. */
static enum mrd_status add_built(struct mrd_catalog *catalog, unsigned number, uint32_t partition,
                                 uint64_t first, uint64_t last)
{
    struct named_entry named;
    (void)make_entry(&named, number);
    named.entry.level = 0;
    named.entry.origin.partition = partition;
    named.entry.origin.first_sequence = first;
    named.entry.origin.last_sequence = last;
    const struct mrd_catalog_built_change built = {
        .partition = partition, .from = first - 1, .to = last};
    const struct mrd_catalog_change change = {
        .add = &named.entry, .add_count = 1, .built = &built, .built_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

static enum mrd_status add_other(struct mrd_catalog *catalog, unsigned number, const char *tenant,
                                 mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    struct named_entry named;
    (void)make_entry(&named, number);
    named.entry.counts.min_ms = min_ms;
    named.entry.counts.max_ms = max_ms;
    named.tenant.name = mrd_bytes_of(tenant);
    named.tenant.counts = named.entry.counts;
    const struct mrd_catalog_change change = {.add = &named.entry, .add_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

/* The blocks that owe, in one text. */
static const char *owed(struct mrd_catalog *catalog, uint64_t number)
{
    static char text[256];
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const struct mrd_catalog_erasure *erasure =
        mrd_catalog_erasure_find(state, erasure_of(number).id);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; erasure != NULL && i < erasure->owed_count; i++) {
        const struct mrd_bytes id = mrd_catalog_erasure_owed(erasure, i);
        assert_true(mrd_catalog_erasure_owes(erasure, id));
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%.*s", i == 0 ? "" : " ",
                                 MRD_FMT(id));
    }
    mrd_catalog_unpin(&state);
    return text;
}

static size_t leaving(struct mrd_catalog *catalog, uint64_t number)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const size_t count = mrd_catalog_erasure_find(state, erasure_of(number).id)->leaving_count;
    mrd_catalog_unpin(&state);
    return count;
}

static void blocks_owe_by_tenant_and_time_and_place_in_the_log(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    assert_int_equal(add(catalog, 1), MRD_OK); /* level 1, 0 to 1000 ms */
    assert_int_equal(add_other(catalog, 2, "farm-8", 0, 1000), MRD_OK);
    assert_int_equal(add_other(catalog, 3, "farm-7", 601, 1000), MRD_OK);
    assert_int_equal(add_other(catalog, 4, "farm-7", 0, 499), MRD_OK);
    assert_int_equal(add_other(catalog, 5, "farm-7", 600, 700), MRD_OK);
    assert_int_equal(add_other(catalog, 6, "farm-7", 400, 500), MRD_OK);
    assert_int_equal(erase(catalog, 9), MRD_OK);
    assert_string_equal(owed(catalog, 9), "block-1 block-5 block-6");
    assert_int_equal(add_built(catalog, 10, 1, 1, 199), MRD_OK);   /* before the request */
    assert_int_equal(add_built(catalog, 11, 1, 200, 250), MRD_OK); /* begins with it */
    assert_int_equal(add_built(catalog, 12, 2, 1, 300), MRD_OK);   /* has it as its last */
    assert_int_equal(add(catalog, 13), MRD_OK); /* merged, say: its inputs owe for themselves */
    assert_string_equal(owed(catalog, 9), "block-1 block-10 block-5 block-6");
    expect_reopened_same(catalog);
    mrd_catalog_close(&catalog);
}

static void windows_of_rollups_reach_back(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    for (unsigned i = 0; i < 2; i++) {
        struct named_entry named;
        (void)make_entry(&named, i);
        named.entry.resolution_ms = 1000;
        named.entry.counts.min_ms = i == 0 ? 1000 : 2000; /* windows of (0, 1000], (1000, 2000] */
        named.entry.counts.max_ms = 2000;
        named.tenant.counts = named.entry.counts;
        const struct mrd_catalog_change change = {.add = &named.entry, .add_count = 1};
        assert_int_equal(mrd_catalog_commit(catalog, &change, NULL, &error), MRD_OK);
    }
    assert_int_equal(erase(catalog, 1), MRD_OK);
    assert_string_equal(owed(catalog, 1), "block-0");
    mrd_catalog_close(&catalog);
}

static void what_owes_leaves_only_when_it_is_settled(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    assert_int_equal(add(catalog, 1), MRD_OK);
    assert_int_equal(add(catalog, 2), MRD_OK);
    assert_int_equal(erase(catalog, 1), MRD_OK);
    assert_int_equal(erase(catalog, 2), MRD_OK);
    assert_int_equal(take_away(catalog, "block-1"), MRD_E_CONFLICT);
    assert_non_null(strstr(error.text, "block-1"));
    assert_int_equal(settle(catalog, 1, "block-1", 5), MRD_E_CONFLICT); /* the other one is left */
    assert_int_equal(settle(catalog, 1, "block-1", 0), MRD_OK);
    assert_string_equal(owed(catalog, 1), "block-2");
    assert_string_equal(owed(catalog, 2), "block-1 block-2");
    assert_int_equal(settle(catalog, 2, "block-1", 5), MRD_OK);
    assert_int_equal(settle(catalog, 2, "block-9", 5),
                     MRD_OK); /* it owes nothing, and is not there */
    assert_int_equal(leaving(catalog, 1), 0);
    assert_int_equal(leaving(catalog, 2), 1);
    assert_int_equal(settle(catalog, 3, "block-1", 0), MRD_OK);
    expect_reopened_same(catalog);
    mrd_catalog_close(&catalog);
}

static void a_request_behind_which_the_log_is_built_comes_too_late(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    assert_int_equal(build(catalog, 1, 0, 199), MRD_OK);
    assert_int_equal(erase(catalog, 1), MRD_OK);
    assert_int_equal(build(catalog, 1, 199, 200), MRD_OK);
    assert_int_equal(erase(catalog, 2), MRD_E_CONFLICT);
    assert_non_null(strstr(error.text, "partition 1 is built up to 200"));
    assert_int_equal(erase(catalog, 1), MRD_OK); /* it is there */
    mrd_catalog_close(&catalog);
}

static void sweep_ahead(struct mrd_catalog *catalog)
{
    struct mrd_catalog_swept swept;
    ahead_ms += 2 * MRD_CATALOG_GRACE_MS;
    assert_int_equal(mrd_catalog_sweep(catalog, "blocks/", NULL, &swept, &error), MRD_OK);
}

static void an_erasure_is_done_when_nothing_is_left(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    assert_int_equal(add(catalog, 1), MRD_OK);
    assert_int_equal(add(catalog, 2), MRD_OK);
    assert_int_equal(take_away(catalog, "block-2"), MRD_OK); /* its files may have samples, too */
    assert_int_equal(erase(catalog, 1), MRD_OK);
    assert_int_equal(leaving(catalog, 1), 1);
    assert_int_equal(finish(catalog, 1), MRD_E_CONFLICT);
    assert_int_equal(settle(catalog, 1, "block-1", 5), MRD_OK);
    assert_int_equal(leaving(catalog, 1), 2);
    assert_int_equal(finish(catalog, 1), MRD_E_CONFLICT);
    sweep_ahead(catalog);
    assert_int_equal(leaving(catalog, 1), 0);
    assert_int_equal(finish(catalog, 1), MRD_E_CONFLICT); /* the log before it is not built */
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_int_equal(build(catalog, p, 0, SEQUENCES[p]), MRD_OK);
    }
    expect_reopened_same(catalog);
    assert_int_equal(finish(catalog, 1), MRD_OK);
    assert_int_equal(finish(catalog, 1), MRD_OK);
    assert_int_equal(erase(catalog, 1), MRD_OK); /* has been */
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    assert_int_equal(mrd_catalog_erasure_count(state), 0);
    assert_int_equal(mrd_catalog_receipt_count(state), 1);
    const struct mrd_catalog_receipt *receipt = mrd_catalog_receipt_find(state, erasure_of(1).id);
    assert_ptr_equal(receipt, mrd_catalog_receipt_at(state, 0));
    assert_int_equal(receipt->samples, 5);
    assert_int_equal(receipt->blocks, 1);
    assert_int_equal(receipt->hlc, 77);
    assert_true(mrd_bytes_equal(receipt->tenant, MRD_BYTES("farm-7")));
    assert_true(mrd_bytes_equal(receipt->request_digest, mrd_bytes_of(DIGEST)));
    assert_true(receipt->done_ms >= receipt->since_ms);
    mrd_catalog_unpin(&state);
    expect_reopened_same(catalog);
    mrd_catalog_close(&catalog);
}

static void a_checkpoint_now_lets_the_chain_begin_there(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    uint64_t oldest;
    assert_int_equal(mrd_catalog_oldest(catalog, NULL, &oldest, &error), MRD_OK);
    assert_int_equal(oldest, 0);
    assert_int_equal(mrd_catalog_checkpoint(catalog, NULL, &error), MRD_OK); /* of nothing: none */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(add(catalog, i), MRD_OK);
    }
    assert_int_equal(mrd_catalog_checkpoint(catalog, NULL, &error), MRD_OK);
    assert_int_equal(mrd_catalog_oldest(catalog, NULL, &oldest, &error), MRD_OK);
    assert_int_equal(oldest, 1);
    sweep_ahead(catalog);
    assert_int_equal(mrd_catalog_oldest(catalog, NULL, &oldest, &error), MRD_OK);
    assert_int_equal(oldest, 3);
    expect_reopened_same(catalog);
    mrd_catalog_close(&catalog);
}

static void erasures_that_make_no_sense_are_refused(void **unused)
{
    (void)unused;
    static const uint64_t none[PARTITIONS] = {1, 0, 1};
    struct mrd_catalog *catalog = open_on(files);
    for (int i = 0; i < 6; i++) {
        struct mrd_catalog_erasure_change erasure = erasure_of(1);
        const struct mrd_catalog_change change = {.erasures = &erasure, .erasure_count = 1};
        switch (i) {
        case 0:
            erasure.partition_count = 0;
            break;
        case 1:
            erasure.sequences = none;
            break;
        case 2:
            erasure.tenant = MRD_BYTES_NONE;
            break;
        case 3:
            erasure.request_digest = MRD_BYTES("abc");
            break;
        case 4:
            erasure.request_key = MRD_BYTES("../x");
            break;
        default:
            erasure.time_max_ms = erasure.time_min_ms - 1;
        }
        assert_int_equal(mrd_catalog_commit(catalog, &change, NULL, &error), MRD_E_INVALID);
    }
    mrd_catalog_close(&catalog);
}

/* Random blocks, merges, erasures and sweeps by several writers against a model. */
static void random_histories_owe_what_a_model_says(void **unused)
{
    (void)unused;
    enum { WRITERS = 3, BLOCKS = 60, ERASURES = 5, STEPS = 500 };
    struct mrd_catalog *writers[WRITERS];
    bool there[BLOCKS] = {false};
    bool was[BLOCKS] = {false};
    bool known[ERASURES] = {false};
    bool owes[ERASURES][BLOCKS] = {{false}};
    unsigned seed = 11;
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = open_on(files);
    }
    for (size_t step = 0; step < STEPS; step++) {
        struct mrd_catalog *writer = writers[(unsigned)rand_r(&seed) % WRITERS];
        const unsigned block = (unsigned)rand_r(&seed) % BLOCKS;
        const unsigned number = (unsigned)rand_r(&seed) % ERASURES;
        char id[32];
        (void)snprintf(id, sizeof(id), "block-%u", block);
        bool free_to_go = true;
        for (size_t e = 0; e < ERASURES; e++) {
            free_to_go = free_to_go && !owes[e][block];
        }
        switch (rand_r(&seed) % 8) {
        case 0:
            if (step % 20 == 0 && !known[number]) {
                assert_int_equal(erase(writer, number), MRD_OK);
                known[number] = true;
                memcpy(owes[number], there, sizeof(there));
            }
            break;
        case 1:
        case 2:
            assert_int_equal(take_away(writer, id),
                             there[block] && !free_to_go ? MRD_E_CONFLICT : MRD_OK);
            there[block] = there[block] && !free_to_go;
            break;
        case 3:
        case 4:
            if (known[number]) {
                assert_int_equal(settle(writer, number, id, 0), MRD_OK);
                owes[number][block] = false;
            }
            break;
        default:
            assert_int_equal(add(writer, block),
                             was[block] && !there[block] ? MRD_E_CONFLICT : MRD_OK);
            there[block] = there[block] || !was[block];
            was[block] = true;
        }
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(mrd_catalog_refresh(writers[i], NULL, &error), MRD_OK);
        struct mrd_catalog_state *state = mrd_catalog_pin(writers[i]);
        for (unsigned e = 0; e < ERASURES; e++) {
            const struct mrd_catalog_erasure *erasure =
                mrd_catalog_erasure_find(state, erasure_of(e).id);
            assert_int_equal(erasure != NULL, known[e]);
            size_t count = 0;
            for (unsigned block = 0; block < BLOCKS && known[e]; block++) {
                char id[32];
                (void)snprintf(id, sizeof(id), "block-%u", block);
                assert_int_equal(mrd_catalog_erasure_owes(erasure, mrd_bytes_of(id)),
                                 owes[e][block]);
                count += owes[e][block];
            }
            assert_true(erasure == NULL || erasure->owed_count == count);
        }
        mrd_catalog_unpin(&state);
        expect_reopened_same(writers[i]);
        mrd_catalog_close(&writers[i]);
    }
}

/* ---- requests ---- */

static void put_request(struct mrd_catalog *catalog, uint64_t number, const char *tenant,
                        struct mrd_catalog_request *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf encoded = {0};
    struct mrd_matcher matcher;
    assert_int_equal(mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("device"),
                                      MRD_BYTES("tractor-1"), &error),
                     MRD_OK);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure erasure = {.id = erasure_of(number).id,
                                        .tenant = mrd_bytes_of(tenant),
                                        .hlc = 77,
                                        .time_min_ms = 500,
                                        .time_max_ms = 600,
                                        .selectors = &selector,
                                        .selector_count = 1};
    assert_int_equal(mrd_erasure_encode(&erasure, &encoded, &error), MRD_OK);
    mrd_matcher_fini(&matcher);
    assert_int_equal(
        mrd_catalog_request_put(files, erasure.id, mrd_buf_view(&encoded), NULL, out, &error),
        MRD_OK);
    struct mrd_catalog_erasure_change change = erasure_of(number);
    change.request_key = mrd_bytes_of(out->key);
    change.request_digest = mrd_bytes_of(out->digest);
    const struct mrd_catalog_change commit = {.erasures = &change, .erasure_count = 1};
    assert_int_equal(mrd_catalog_commit(catalog, &commit, NULL, &error), MRD_OK);
}

static enum mrd_status load(struct mrd_catalog *catalog, const struct mrd_catalog_requests *before,
                            struct mrd_catalog_requests **out)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const enum mrd_status status =
        mrd_catalog_requests_load(files, state, before, NULL, out, &error);
    mrd_catalog_unpin(&state);
    return status;
}

static void requests_are_read_once_and_say_what_a_block_owes(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    struct mrd_catalog_requests *requests = NULL;
    struct mrd_catalog_requests *later = NULL;
    struct mrd_catalog_request request;
    const struct mrd_erasure *found[4];
    assert_int_equal(add(catalog, 1), MRD_OK);
    put_request(catalog, 5, "farm-7", &request);
    assert_int_equal(load(catalog, NULL, &requests), MRD_OK);
    assert_int_equal(mrd_catalog_requests_count(requests), 1);
    assert_true(mrd_catalog_requests_owe(requests, MRD_BYTES("block-1")));
    assert_false(mrd_catalog_requests_owe(requests, MRD_BYTES("block-2")));
    assert_false(mrd_catalog_requests_owe(NULL, MRD_BYTES("block-1")));
    assert_int_equal(mrd_catalog_requests_owed(requests, MRD_BYTES("block-1"), found, 4), 1);
    assert_int_equal(found[0]->selector_count, 1);
    /* Those known are not read again: the object may be gone. */
    assert_int_equal(mrd_objstore_delete(files, request.key, NULL, &error), MRD_OK);
    assert_int_equal(load(catalog, requests, &later), MRD_OK);
    mrd_catalog_requests_destroy(&requests);
    assert_int_equal(mrd_catalog_requests_owed(later, MRD_BYTES("block-1"), found, 4), 1);
    assert_true(mrd_bytes_equal(found[0]->tenant, MRD_BYTES("farm-7")));
    const struct mrd_catalog_erasure *erasure;
    assert_ptr_equal(mrd_catalog_requests_at(later, 0, &erasure), found[0]);
    assert_true(mrd_id128_equal(erasure->id, erasure_of(5).id));
    assert_int_equal(load(catalog, NULL, &requests), MRD_E_NOT_FOUND);
    mrd_catalog_requests_destroy(&later);
    mrd_catalog_close(&catalog);
}

static void requests_that_are_not_what_was_made_are_corrupt(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    struct mrd_catalog_requests *requests = NULL;
    struct mrd_catalog_request request;
    assert_int_equal(add(catalog, 1), MRD_OK);
    put_request(catalog, 5, "farm-8", &request); /* another tenant's */
    assert_int_equal(load(catalog, NULL, &requests), MRD_E_CORRUPT);
    assert_int_equal(mrd_objstore_put(files, request.key, MRD_BYTES("x"), NULL, &error), MRD_OK);
    assert_int_equal(load(catalog, NULL, &requests), MRD_E_CORRUPT);
    assert_non_null(strstr(error.text, request.key));
    assert_int_equal(settle(catalog, 5, "block-1", 0), MRD_OK);
    assert_int_equal(load(catalog, NULL, &requests), MRD_OK); /* what owes nothing is not read */
    assert_int_equal(mrd_catalog_requests_count(requests), 0);
    mrd_catalog_requests_destroy(&requests);
    mrd_catalog_close(&catalog);
}

/* A request of selectors that each have `matchers` matchers of `value_size` bytes. */
static enum mrd_status put_large(size_t selectors, size_t matchers, size_t value_size)
{
    struct mrd_matcher all[MRD_ERASURE_MATCHERS_MAX];
    struct mrd_erasure_selector list[MRD_ERASURE_SELECTORS_MAX];
    struct mrd_catalog_request request;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf encoded = {0};
    char *value = calloc(value_size + 1, 1);
    mrd_assert(value != NULL);
    memset(value, 'x', value_size);
    for (size_t i = 0; i < matchers; i++) {
        assert_int_equal(
            mrd_matcher_init(&all[i], MRD_MATCH_EQ, MRD_BYTES("a"), mrd_bytes_of(value), &error),
            MRD_OK);
    }
    for (size_t i = 0; i < selectors; i++) {
        list[i] = (struct mrd_erasure_selector){all, matchers};
    }
    const struct mrd_erasure erasure = {
        .id = {3, selectors},
        .tenant = MRD_BYTES("farm"),
        .hlc = 1,
        .selectors = list,
        .selector_count = selectors
    };
    assert_int_equal(mrd_erasure_encode(&erasure, &encoded, &error), MRD_OK);
    free(value);
    return mrd_catalog_request_put(files, erasure.id, mrd_buf_view(&encoded), NULL, &request,
                                   &error);
}

static bool count_object(void *context, const struct mrd_objstore_entry *entry)
{
    (void)entry;
    (*(size_t *)context)++;
    return true;
}

/* However many there may be, all of them can be read: a querier that cannot read one reads no block. */
static void requests_that_are_too_large_are_refused(void **unused)
{
    (void)unused;
    size_t stored = 0;
    assert_int_equal(put_large(60, 1, 3500), MRD_E_LIMIT); /* by its texts */
    assert_non_null(strstr(error.text, "several requests"));
    assert_int_equal(put_large(64, 64, 1), MRD_E_LIMIT); /* by what becomes of them in memory */
    assert_int_equal(mrd_objstore_list(files, MRD_CATALOG_REQUEST_PREFIX, "", count_object, &stored,
                                       NULL, &error),
                     MRD_OK);
    assert_int_equal(stored, 0);
    assert_int_equal(put_large(50, 1, 3500), MRD_OK);
    assert_int_equal(put_large(64, 40, 1), MRD_OK);
}

/* Who builds from the log has to follow those that no block owes, too. */
static void all_that_are_not_done_can_be_read(void **unused)
{
    (void)unused;
    struct mrd_catalog *catalog = open_on(files);
    struct mrd_catalog_requests *requests = NULL;
    struct mrd_catalog_request request;
    assert_int_equal(add(catalog, 1), MRD_OK);
    put_request(catalog, 5, "farm-7", &request);
    assert_int_equal(settle(catalog, 5, "block-1", 0), MRD_OK);
    assert_int_equal(load(catalog, NULL, &requests), MRD_OK);
    assert_int_equal(mrd_catalog_requests_count(requests), 0);
    mrd_catalog_requests_destroy(&requests);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    assert_int_equal(mrd_catalog_requests_load_all(files, state, NULL, NULL, &requests, &error),
                     MRD_OK);
    assert_int_equal(mrd_catalog_requests_count(requests), 1);
    mrd_catalog_requests_destroy(&requests);
    /* Its end: the object goes before the receipt comes. */
    assert_int_equal(mrd_objstore_delete(files, request.key, NULL, &error), MRD_OK);
    assert_int_equal(mrd_catalog_requests_load_all(files, state, NULL, NULL, &requests, &error),
                     MRD_OK);
    assert_int_equal(mrd_catalog_requests_count(requests), 0);
    mrd_catalog_requests_destroy(&requests);
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_owe_by_tenant_and_time_and_place_in_the_log, begin,
                                        end),
        cmocka_unit_test_setup_teardown(windows_of_rollups_reach_back, begin, end),
        cmocka_unit_test_setup_teardown(what_owes_leaves_only_when_it_is_settled, begin, end),
        cmocka_unit_test_setup_teardown(a_request_behind_which_the_log_is_built_comes_too_late,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_erasure_is_done_when_nothing_is_left, begin, end),
        cmocka_unit_test_setup_teardown(a_checkpoint_now_lets_the_chain_begin_there, begin, end),
        cmocka_unit_test_setup_teardown(erasures_that_make_no_sense_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(random_histories_owe_what_a_model_says, begin, end),
        cmocka_unit_test_setup_teardown(requests_are_read_once_and_say_what_a_block_owes, begin,
                                        end),
        cmocka_unit_test_setup_teardown(requests_that_are_not_what_was_made_are_corrupt, begin,
                                        end),
        cmocka_unit_test_setup_teardown(requests_that_are_too_large_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(all_that_are_not_done_can_be_read, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
