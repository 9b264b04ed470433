/* The source over real NATS, with ingesters that do what the test says. */
#include "querier/remote_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "bus/nats_fixture.h"
#include "codec/frame.h"
#include "codec/histogram.h"
#include "wire/query.h"

enum { PARTITIONS = 3, SERIES = 10, FAIL_AFTER = 7 };

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- ingesters: each partition holds s{i="0".."9",p="<partition>"} with samples at 1, 2 and 3 s, the
 * last one in a frame and an rpc chunk of its own, together with a native histogram at 4 s ---- */

enum behaviour {
    ANSWER,      /* each frame in a chunk of its own */
    AT_ONCE,     /* all in one message */
    FAIL_MIDWAY, /* the question, in the middle of the second partition that it asks for */
    FAIL_ALWAYS,
    REFUSE,
    LOST_ONE, /* partition 1 is not here any more */
    LARGE,    /* all but the first partition that it asks for are left to questions of their own */
    SHORT,    /* ends without the last partition that it asks for */
    ASKEW,    /* from the last partition to the first */
    RUBBISH
};

struct ingester {
    struct mrd_bus *bus;
    struct mrd_members *members;
    struct mrd_rpc_server *server;
    struct mrd_member_partition serves[PARTITIONS];
    struct mrd_member self;
    _Atomic int behaviour;
    _Atomic uint64_t begins; /* its heads, in truth; 0: that is not known */
    _Atomic size_t calls;
    _Atomic size_t partitions_asked;
    _Atomic uint64_t sequence_min[PARTITIONS];
};

static void write_histogram(struct mrd_buf *out, mrd_time_ms time_ms, uint64_t number)
{
    static const struct mrd_histogram_span span = {2, 1};
    const union mrd_histogram_count bucket = {.integer = number};
    const struct mrd_histogram histogram = {
        .reset = number % 2 == 0 ? MRD_HISTOGRAM_NO_RESET : MRD_HISTOGRAM_GAUGE,
        .schema = 1,
        .sum = 0.5,
        .count = bucket,
        .positive = {&span, &bucket, 1, 1}
    };
    struct mrd_histogram_open open = {0};
    struct mrd_buf entry = {0};
    uint64_t counters[2 * 3];
    const struct mrd_histogram_entry of = {time_ms, 0, &histogram};
    assert_int_equal(mrd_histogram_open_append(&open, MRD_BYTES_NONE, counters, &of, &entry, NULL),
                     MRD_OK);
    const struct mrd_chunk chunk = {mrd_buf_view(&entry), 1, MRD_CHUNK_HISTOGRAMS};
    mrd_frame_write_chunk(out, &chunk);
    mrd_buf_fini(&entry);
}

static void write_frame(struct mrd_buf *out, uint32_t partition, int series, mrd_time_ms first_ms,
                        uint32_t count)
{
    char i[8];
    char p[8];
    snprintf(i, sizeof(i), "%d", series);
    snprintf(p, sizeof(p), "%u", partition);
    const struct mrd_label items[] = {
        {MRD_BYTES("__name__"), MRD_BYTES("s") },
        {MRD_BYTES("i"),        mrd_bytes_of(i)},
        {MRD_BYTES("p"),        mrd_bytes_of(p)},
    };
    struct mrd_buf labels = {0};
    mrd_labels_encode((struct mrd_labels){items, 3}, &labels);
    const bool last = count == 1;
    mrd_frame_write_head(out, mrd_buf_view(&labels), last ? 2 : 1);
    mrd_buf_fini(&labels);
    mrd_time_ms times_ms[2];
    double values[2];
    uint8_t bytes[64];
    for (uint32_t n = 0; n < count; n++) {
        times_ms[n] = first_ms + n * 1000;
        values[n] = partition * 100.0 + series;
    }
    struct mrd_chunk chunk = {.count = count, .bytes = {.data = bytes}};
    chunk.bytes.size = mrd_chunk_encode(times_ms, values, count, bytes, &chunk.encoding);
    mrd_frame_write_chunk(out, &chunk);
    if (last) {
        write_histogram(out, 4000, partition * 100 + (uint64_t)series);
    }
}

/* One question under way. */
struct talk {
    const struct ingester *ingester;
    struct mrd_rpc_call *call;
    struct mrd_query_request request;
    int behaviour;
    struct mrd_buf out; /* parts; what is left goes with the end */
};

static enum mrd_status flush(struct talk *talk, struct mrd_error *err)
{
    const enum mrd_status status =
        talk->behaviour == AT_ONCE ? MRD_OK
                                   : mrd_rpc_call_send(talk->call, mrd_buf_view(&talk->out), err);
    if (talk->behaviour != AT_ONCE) {
        mrd_buf_clear(&talk->out);
    }
    return status;
}

static enum mrd_status send_frame(struct talk *talk, uint32_t partition, int series,
                                  mrd_time_ms first_ms, uint32_t count, struct mrd_error *err)
{
    struct mrd_buf frame = {0};
    write_frame(&frame, partition, series, first_ms, count);
    mrd_query_part_data(&talk->out, partition, mrd_buf_view(&frame));
    mrd_buf_fini(&frame);
    return flush(talk, err);
}

static enum mrd_status send_series(struct talk *talk, uint32_t partition, bool fail,
                                   struct mrd_error *err)
{
    int sent = 0;
    for (int i = 0; i < SERIES; i++) {
        for (int part = 0; part < 2; part++) {
            if (fail && sent++ == FAIL_AFTER) {
                return mrd_fail(err, MRD_E_UNAVAILABLE, "lost my way");
            }
            MRD_TRY(
                send_frame(talk, partition, i, part == 0 ? 1000 : 3000, part == 0 ? 2 : 1, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status send_names(struct talk *talk, uint32_t partition, struct mrd_error *err)
{
    static const char *const own[PARTITIONS] = {"b", "c", "a"};
    struct mrd_buf names = {0};
    mrd_query_text_write(&names, MRD_BYTES("__name__"));
    mrd_query_text_write(&names, mrd_bytes_of(own[partition]));
    mrd_query_part_data(&talk->out, partition, mrd_buf_view(&names));
    mrd_buf_fini(&names);
    return flush(talk, err);
}

/* The index-th partition that the question asks for. */
static enum mrd_status answer_partition(struct talk *talk, size_t index, struct mrd_error *err)
{
    const size_t count = talk->request.partition_count;
    const uint32_t partition = talk->request.partitions[index].number;
    const uint64_t first_max = talk->request.partitions[index].sequence_first_max;
    const uint64_t begins = atomic_load(&talk->ingester->begins);
    if (talk->behaviour == LOST_ONE && partition == 1) {
        return MRD_OK; /* told before */
    }
    if (first_max != 0 && (begins == 0 || begins > first_max)) {
        mrd_query_part_failed(&talk->out, partition, MRD_E_UNAVAILABLE, MRD_BYTES("too little"));
        return MRD_OK;
    }
    if (talk->behaviour == LARGE && index > 0) {
        mrd_query_part_alone(&talk->out, partition);
        return MRD_OK;
    }
    if (talk->behaviour == SHORT && index + 1 == count) {
        return MRD_OK;
    }
    const bool fail = talk->behaviour == FAIL_MIDWAY && index == MRD_MIN(count - 1, (size_t)1);
    MRD_TRY(talk->request.kind == MRD_QUERY_SELECT ? send_series(talk, partition, fail, err)
                                                   : send_names(talk, partition, err));
    mrd_query_part_end(&talk->out, partition, &(struct mrd_query_trailer){.series = SERIES});
    return MRD_OK;
}

static enum mrd_status answer_all(struct talk *talk, struct mrd_error *err)
{
    const size_t count = talk->request.partition_count;
    if (talk->behaviour == FAIL_ALWAYS) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "not today");
    }
    if (talk->behaviour == REFUSE) {
        return mrd_fail(err, MRD_E_LIMIT, "too many series");
    }
    if (talk->behaviour == RUBBISH) {
        mrd_buf_append_text(&talk->out, "\x09rubbish");
    }
    for (size_t i = 0; i < count && talk->behaviour == LOST_ONE; i++) {
        if (talk->request.partitions[i].number == 1) {
            mrd_query_part_failed(&talk->out, 1, MRD_E_UNAVAILABLE, MRD_BYTES("it left"));
        }
    }
    for (size_t i = 0; i < count; i++) {
        MRD_TRY(answer_partition(talk, talk->behaviour == ASKEW ? count - 1 - i : i, err));
    }
    mrd_rpc_call_last_take(talk->call, &talk->out);
    return MRD_OK;
}

static enum mrd_status on_call(void *context, struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct ingester *ingester = context;
    struct talk talk = {
        .ingester = ingester, .call = call, .behaviour = atomic_load(&ingester->behaviour)};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    MRD_TRY(mrd_query_request_decode(mrd_rpc_call_request(call), arena, &talk.request, err));
    atomic_fetch_add(&ingester->calls, 1);
    atomic_fetch_add(&ingester->partitions_asked, talk.request.partition_count);
    for (size_t i = 0; i < talk.request.partition_count; i++) {
        const struct mrd_query_partition *asked = &talk.request.partitions[i];
        mrd_assert(asked->number < PARTITIONS);
        atomic_store(&ingester->sequence_min[asked->number], asked->sequence_min);
    }
    const enum mrd_status status = answer_all(&talk, err);
    mrd_query_request_fini(&talk.request);
    mrd_buf_fini(&talk.out);
    return status;
}

static void ingester_start(struct ingester *ingester, const struct nats_fixture *nats,
                           const char *name)
{
    ingester->bus = nats_fixture_connect(nats);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        ingester->serves[p] = (struct mrd_member_partition){
            .partition = p, .state = MRD_PARTITION_SERVING, .sequence = 1};
    }
    ingester->self = (struct mrd_member){.kind = MRD_MEMBER_INGESTER,
                                         .incarnation = 1,
                                         .partitions = ingester->serves,
                                         .partition_count = PARTITIONS};
    snprintf(ingester->self.instance, sizeof(ingester->self.instance), "%s", name);
    char subject[MRD_QUERY_SUBJECT_MAX];
    const struct mrd_rpc_server_options options = {.subject = mrd_query_subject(name, subject),
                                                   .workers = 1,
                                                   .handle = on_call,
                                                   .context = ingester};
    assert_int_equal(mrd_rpc_server_create(ingester->bus, &options, &ingester->server, NULL),
                     MRD_OK);
    assert_int_equal(mrd_bus_flush(ingester->bus, 5000, NULL), MRD_OK);
    assert_int_equal(mrd_members_create(ingester->bus,
                                        &(struct mrd_members_options){.self = &ingester->self},
                                        &ingester->members, NULL),
                     MRD_OK);
}

/* From now on it serves only what `mask` says, a bit for each partition. */
static void ingester_serve(struct ingester *ingester, unsigned mask)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        const bool serves = (mask >> p & 1) != 0;
        ingester->serves[p].state = serves ? MRD_PARTITION_SERVING : MRD_PARTITION_LOADING;
    }
    mrd_members_update(ingester->members, &ingester->self);
}

static void ingester_stop(struct ingester *ingester)
{
    mrd_members_destroy(&ingester->members);
    mrd_rpc_server_destroy(&ingester->server, 1000);
    mrd_bus_close(&ingester->bus);
}

/* ---- the world ---- */

struct world {
    struct nats_fixture nats;
    struct ingester one;
    struct ingester two;
    struct mrd_metrics *metrics;
    struct qry_cluster cluster;
};

static void wait_for_members(struct mrd_members *members, size_t count)
{
    const int64_t deadline_ns = now_ns() + 10000000000;
    for (;;) {
        const struct mrd_members_snapshot *snapshot = mrd_members_acquire(members);
        const size_t found = snapshot->count;
        mrd_members_release(&snapshot);
        if (found == count) {
            return;
        }
        assert_true(now_ns() < deadline_ns);
        usleep(2000);
    }
}

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    ingester_start(&world->one, &world->nats, "one");
    ingester_start(&world->two, &world->nats, "two");
    world->metrics = mrd_metrics_create();
    struct qry_cluster *cluster = &world->cluster;
    cluster->bus = nats_fixture_connect(&world->nats);
    cluster->partition_count = PARTITIONS;
    cluster->unavailable_wait_ms = 200;
    cluster->retries = mrd_metrics_counter(world->metrics, "retries", "Test.", MRD_NO_LABELS);
    cluster->partial = mrd_metrics_counter(world->metrics, "partial", "Test.", MRD_NO_LABELS);
    cluster->selects_plain = mrd_metrics_counter(world->metrics, "plain", "Test.", MRD_NO_LABELS);
    cluster->selects_pushed = mrd_metrics_counter(world->metrics, "pushed", "Test.", MRD_NO_LABELS);
    cluster->fragments_refused =
        mrd_metrics_counter(world->metrics, "refused", "Test.", MRD_NO_LABELS);
    assert_int_equal(mrd_rpc_client_create(cluster->bus, &cluster->rpc, NULL), MRD_OK);
    assert_int_equal(mrd_members_create(cluster->bus, &(struct mrd_members_options){.self = NULL},
                                        &cluster->members, NULL),
                     MRD_OK);
    wait_for_members(cluster->members, 2);
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;
    mrd_rpc_client_destroy(&world->cluster.rpc);
    mrd_members_destroy(&world->cluster.members);
    mrd_bus_close(&world->cluster.bus);
    ingester_stop(&world->one);
    ingester_stop(&world->two);
    mrd_metrics_destroy(&world->metrics);
    nats_fixture_stop(&world->nats);
    free(world);
    return 0;
}

/* ---- one select ---- */

struct query {
    struct mrd_arena *arena;
    struct mrd_annotations annotations;
    struct mrd_query_control control;
    struct qry_remote remote;
    struct mrd_source source;
};

static void query_init(struct query *query, struct world *world, bool partial)
{
    *query = (struct query){.arena = mrd_arena_create("test", 1 << 20)};
    mrd_annotations_init(&query->annotations, query->arena, MRD_BYTES_NONE);
    query->control = (struct mrd_query_control){.clock = mrd_clock_system(),
                                                .deadline_ns = now_ns() + 10000000000};
    query->remote.options = (struct qry_remote_options){
        .cluster = &world->cluster, .tenant = MRD_BYTES("anonymous"), .partial = partial};
    query->source = qry_remote_source(&query->remote);
}

static struct mrd_matcher matcher = {
    MRD_MATCH_EQ, {(const uint8_t *)"__name__", 8},
     {(const uint8_t *)"s",        1},
     NULL
};
static const struct mrd_select select_all = {
    .matchers = &matcher, .matcher_count = 1, .min_ms = 0, .max_ms = 10000};

/* The scope is lent for the call only, as the engine does it. */
static enum mrd_status open_set(struct query *query, struct mrd_source_set **out,
                                struct mrd_error *err)
{
    struct mrd_query_scope *scope = malloc(sizeof(*scope));
    *scope = (struct mrd_query_scope){query->arena, &query->annotations, &query->control};
    const enum mrd_status status =
        query->source.open(query->source.context, &select_all, scope, out, err);
    memset(scope, 0xee, sizeof(*scope));
    free(scope);
    return status;
}

static unsigned number_of(struct mrd_labels labels, const char *name)
{
    const struct mrd_bytes text = mrd_labels_get(labels, mrd_bytes_of(name));
    assert_int_equal(text.size, 1);
    return text.data[0] - '0';
}

/* Reads all series; seen[p][i] counts how often each came. */
static enum mrd_status read_all(struct query *query, int seen[PARTITIONS][SERIES],
                                struct mrd_error *err)
{
    struct mrd_source_set *set = NULL;
    MRD_TRY(open_set(query, &set, err));
    enum mrd_status status;
    struct mrd_source_series series;
    bool more = true;
    while ((status = query->source.next(set, &series, &more, err)) == MRD_OK && more) {
        const unsigned p = number_of(series.labels, "p");
        const unsigned i = number_of(series.labels, "i");
        assert_int_equal(series.samples.count, 3);
        for (size_t n = 0; n < 3; n++) {
            assert_int_equal(series.samples.times_ms[n], 1000 * (n + 1));
            assert_true(series.samples.values[n] == p * 100.0 + i);
        }
        assert_int_equal(series.histograms.count, 1);
        assert_int_equal(series.histograms.times_ms[0], 4000);
        assert_int_equal(series.histograms.items[0].count.integer, p * 100 + i);
        assert_int_equal(series.histograms.items[0].positive.buckets[0].integer, p * 100 + i);
        assert_int_equal(series.histograms.items[0].reset,
                         (p * 100 + i) % 2 == 0 ? MRD_HISTOGRAM_RESET_UNKNOWN
                                                : MRD_HISTOGRAM_GAUGE); /* a sender's word */
        seen[p][i]++;
    }
    query->source.close(set);
    return status;
}

static void assert_each_once(int seen[PARTITIONS][SERIES])
{
    for (int p = 0; p < PARTITIONS; p++) {
        for (int i = 0; i < SERIES; i++) {
            assert_int_equal(seen[p][i], 1);
        }
    }
}

static void every_series_of_every_partition_comes_once_and_whole(void **state)
{
    struct world *world = *state;
    struct query query;
    int seen[PARTITIONS][SERIES] = {0};
    struct mrd_error err = {0};
    query_init(&query, world, false);
    assert_int_equal(read_all(&query, seen, &err), MRD_OK);
    assert_each_once(seen);
    assert_int_equal(atomic_load(&world->one.calls) + atomic_load(&world->two.calls), 1);
    mrd_arena_destroy(&query.arena);
}

static void expect_whole_with(struct world *world, uint64_t salt, bool in_order)
{
    struct query query;
    int seen[PARTITIONS][SERIES] = {0};
    struct mrd_error err = {0};
    query_init(&query, world, false);
    query.remote.options.salt = salt;
    query.remote.options.in_order = in_order;
    if (read_all(&query, seen, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    assert_each_once(seen);
    mrd_arena_destroy(&query.arena);
}

static void expect_whole(struct world *world, uint64_t salt)
{
    expect_whole_with(world, salt, false);
}

static void an_answer_in_one_message_is_the_same(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, AT_ONCE);
    atomic_store(&world->two.behaviour, AT_ONCE);
    expect_whole(world, 0);
}

static bool serves_is(struct world *world, const char *instance, uint32_t partition, bool want)
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(world->cluster.members);
    bool is = false;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        is = is || (strcmp(member->instance, instance) == 0 &&
                    (member->partitions[partition].state == MRD_PARTITION_SERVING) == want);
    }
    mrd_members_release(&snapshot);
    return is;
}

/* One ingester has the partitions 0 and 2, the other one 1; each chunk is one frame, one is under way of each question, and many
 * queries are open at once, the last one read first. */
static void interleaved_partitions_with_the_smallest_window_never_stop(void **state)
{
    struct world *world = *state;
    enum { QUERIES = 12 };
    world->cluster.rpc_window = 1;
    ingester_serve(&world->one, 5);
    ingester_serve(&world->two, 2);
    while (!serves_is(world, "one", 1, false) || !serves_is(world, "two", 2, false)) {
        usleep(1000);
    }
    struct query queries[QUERIES];
    struct mrd_source_set *sets[QUERIES];
    for (size_t i = 0; i < QUERIES; i++) {
        query_init(&queries[i], world, false);
        assert_int_equal(open_set(&queries[i], &sets[i], NULL), MRD_OK);
    }
    for (size_t i = QUERIES; i-- > 0;) {
        size_t count = 0;
        bool more = true;
        while (more) {
            struct mrd_source_series series;
            struct mrd_error err = {0};
            if (queries[i].source.next(sets[i], &series, &more, &err) != MRD_OK) {
                fail_msg("%s", err.text);
            }
            count += more ? 1 : 0;
        }
        assert_int_equal(count, PARTITIONS * SERIES);
        queries[i].source.close(sets[i]);
        mrd_arena_destroy(&queries[i].arena);
    }
    assert_int_equal(atomic_load(&world->one.calls), QUERIES);
    assert_int_equal(atomic_load(&world->two.calls), QUERIES);
    assert_int_equal(mrd_counter_value(world->cluster.retries), 0);
}

static void a_partition_that_has_left_is_asked_of_another_alone(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, LOST_ONE);
    expect_whole(world, 0);
    assert_int_equal(atomic_load(&world->one.calls), 1);
    assert_int_equal(atomic_load(&world->two.calls), 1);
    assert_int_equal(atomic_load(&world->two.partitions_asked), 1);
    assert_int_equal(mrd_counter_value(world->cluster.retries), 1);
}

static void partitions_of_a_large_question_are_asked_by_themselves(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, LARGE);
    expect_whole(world, 0);
    assert_int_equal(atomic_load(&world->one.calls), PARTITIONS);
    assert_int_equal(atomic_load(&world->one.partitions_asked), PARTITIONS + PARTITIONS - 1);
    assert_int_equal(atomic_load(&world->two.calls), 0);
    assert_int_equal(mrd_counter_value(world->cluster.retries), 0);
}

static void an_answer_that_is_short_or_askew_is_not_taken_for_whole(void **state)
{
    struct world *world = *state;
    static const struct {
        int behaviour;
        uint64_t retries;
    } cases[] = {
        {SHORT,   1         }, /* what was complete stands */
        {ASKEW,   PARTITIONS},
        {RUBBISH, PARTITIONS},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const uint64_t before = mrd_counter_value(world->cluster.retries);
        atomic_store(&world->one.behaviour, cases[i].behaviour);
        expect_whole(world, 0);
        assert_int_equal(mrd_counter_value(world->cluster.retries) - before, cases[i].retries);
    }
}

static void a_replica_that_fails_midway_is_replaced_without_doubles_or_gaps(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, FAIL_MIDWAY);
    for (uint64_t salt = 0; salt < 2; salt++) {
        expect_whole(world, salt); /* once with the failing one first */
    }
    /* The first partition was complete, and stands. */
    assert_int_equal(mrd_counter_value(world->cluster.retries), PARTITIONS - 1);
    assert_int_equal(atomic_load(&world->two.partitions_asked), PARTITIONS - 1 + PARTITIONS);
}

/* As above, for series that are to be merged with those of blocks. */
static void a_replica_that_takes_over_goes_on_in_order(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, FAIL_MIDWAY);
    for (uint64_t salt = 0; salt < 2; salt++) {
        expect_whole_with(world, salt, true);
    }
    assert_int_equal(mrd_counter_value(world->cluster.retries), PARTITIONS - 1);
}

static void ingester_begin_at(struct world *world, struct ingester *ingester, uint64_t sequence)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        ingester->serves[p].sequence_first = sequence;
    }
    atomic_store(&ingester->begins, sequence);
    mrd_members_update(ingester->members, &ingester->self);
    bool seen = false;
    for (int i = 0; i < 3000 && !seen; i++) {
        const struct mrd_members_snapshot *snapshot = mrd_members_acquire(world->cluster.members);
        for (size_t m = 0; m < snapshot->count; m++) {
            seen |= strcmp(snapshot->members[m].instance, ingester->self.instance) == 0 &&
                    snapshot->members[m].partitions[0].sequence_first == sequence;
        }
        mrd_members_release(&snapshot);
        usleep(1000);
    }
    assert_true(seen);
}

/* Blocks were left out because heads begin at 100: whose head begins later, or does not say, does not answer, and is not asked if
 * another one does. */
static void only_heads_that_begin_early_enough_answer(void **state)
{
    struct world *world = *state;
    const uint64_t firsts[PARTITIONS] = {100, 100, 100};
    ingester_begin_at(world, &world->one, 101);
    for (uint64_t salt = 0; salt < 2; salt++) {
        struct query query;
        int seen[PARTITIONS][SERIES] = {0};
        struct mrd_error err = {0};
        query_init(&query, world, false);
        query.remote.options.salt = salt;
        query.remote.options.sequences_first_max = firsts;
        assert_int_equal(read_all(&query, seen, &err),
                         MRD_E_UNAVAILABLE); /* the other one does not say */
        mrd_arena_destroy(&query.arena);
    }
    const size_t refused = atomic_load(&world->one.calls);
    ingester_begin_at(world, &world->two, 100);
    for (uint64_t salt = 0; salt < 2; salt++) {
        struct query query;
        int seen[PARTITIONS][SERIES] = {0};
        struct mrd_error err = {0};
        query_init(&query, world, false);
        query.remote.options.salt = salt;
        query.remote.options.sequences_first_max = firsts;
        assert_int_equal(read_all(&query, seen, &err), MRD_OK);
        assert_each_once(seen);
        mrd_arena_destroy(&query.arena);
    }
    assert_int_equal(atomic_load(&world->one.calls), refused);
}

/* One has started again with less than its record still says: the other one answers. */
static void a_record_of_before_a_restart_is_not_believed(void **state)
{
    struct world *world = *state;
    const uint64_t firsts[PARTITIONS] = {100, 100, 100};
    ingester_begin_at(world, &world->one, 100);
    ingester_begin_at(world, &world->two, 100);
    atomic_store(&world->one.begins, 200);
    for (uint64_t salt = 0; salt < 2; salt++) {
        struct query query;
        int seen[PARTITIONS][SERIES] = {0};
        struct mrd_error err = {0};
        query_init(&query, world, false);
        query.remote.options.salt = salt;
        query.remote.options.sequences_first_max = firsts;
        assert_int_equal(read_all(&query, seen, &err), MRD_OK);
        assert_each_once(seen);
        mrd_arena_destroy(&query.arena);
    }
    assert_true(atomic_load(&world->one.calls) > 0);
}

static void without_a_replica_left_the_query_fails(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, FAIL_ALWAYS);
    atomic_store(&world->two.behaviour, FAIL_MIDWAY);
    struct query query;
    int seen[PARTITIONS][SERIES] = {0};
    struct mrd_error err = {0};
    query_init(&query, world, false);
    assert_int_equal(read_all(&query, seen, &err), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "of 3 has no ingester that can answer"));
    mrd_arena_destroy(&query.arena);
}

static void a_partial_answer_has_a_warning_for_each_partition_left_out(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, FAIL_ALWAYS);
    atomic_store(&world->two.behaviour, FAIL_ALWAYS);
    struct query query;
    int seen[PARTITIONS][SERIES] = {0};
    struct mrd_error err = {0};
    query_init(&query, world, true);
    assert_int_equal(read_all(&query, seen, &err), MRD_OK);
    assert_int_equal(query.annotations.count[MRD_ANNOTATION_WARNING], PARTITIONS);
    const struct mrd_bytes text = query.annotations.first[MRD_ANNOTATION_WARNING]->text;
    assert_memory_equal(text.data, "partial answer: partition 0 of 3", 32);
    assert_int_equal(seen[0][0], 0);
    mrd_arena_destroy(&query.arena);
}

static void a_refusal_is_final_and_no_other_replica_is_asked(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, REFUSE);
    atomic_store(&world->two.behaviour, REFUSE);
    struct query query;
    int seen[PARTITIONS][SERIES] = {0};
    struct mrd_error err = {0};
    query_init(&query, world, true);
    assert_int_equal(read_all(&query, seen, &err), MRD_E_LIMIT);
    assert_string_equal(err.text, "too many series");
    assert_int_equal(mrd_counter_value(world->cluster.retries), 0);
    mrd_arena_destroy(&query.arena);
}

static void strong_reads_tell_each_partition_its_own_sequence(void **state)
{
    struct world *world = *state;
    static const uint64_t sequences[PARTITIONS] = {5, 0, 77};
    struct query query;
    int seen[PARTITIONS][SERIES] = {0};
    struct mrd_error err = {0};
    query_init(&query, world, false);
    query.remote.options.sequences_min = sequences;
    assert_int_equal(read_all(&query, seen, &err), MRD_OK);
    for (int p = 0; p < PARTITIONS; p++) {
        assert_int_equal(atomic_load(&world->one.sequence_min[p]) +
                             atomic_load(&world->two.sequence_min[p]),
                         sequences[p]);
    }
    mrd_arena_destroy(&query.arena);
}

static void label_names_are_united_sorted_and_cut(void **state)
{
    struct world *world = *state;
    struct query query;
    struct mrd_error err = {0};
    query_init(&query, world, false);
    const struct mrd_query_scope scope = {query.arena, &query.annotations, &query.control};
    struct mrd_label_query names = {.min_ms = 0, .max_ms = 10000};
    struct mrd_texts texts;
    assert_int_equal(query.source.label_names(query.source.context, &names, &scope, &texts, &err),
                     MRD_OK);
    assert_int_equal(texts.count, 4);
    assert_true(mrd_bytes_equal(texts.items[0], MRD_BYTES("__name__")));
    assert_true(mrd_bytes_equal(texts.items[3], MRD_BYTES("c")));
    assert_false(texts.truncated);
    names.limit = 2;
    assert_int_equal(query.source.label_names(query.source.context, &names, &scope, &texts, &err),
                     MRD_OK);
    assert_int_equal(texts.count, 2);
    assert_true(mrd_bytes_equal(texts.items[1], MRD_BYTES("a")));
    assert_true(texts.truncated);
    mrd_arena_destroy(&query.arena);
}

static void an_early_end_stops_the_query(void **state)
{
    struct world *world = *state;
    atomic_store(&world->one.behaviour, FAIL_ALWAYS);
    atomic_store(&world->two.behaviour, FAIL_ALWAYS);
    world->cluster.unavailable_wait_ms = 60000;
    const _Atomic bool canceled = true;
    struct query query;
    int seen[PARTITIONS][SERIES] = {0};
    struct mrd_error err = {0};
    query_init(&query, world, false);
    query.control.canceled = &canceled;
    assert_int_equal(read_all(&query, seen, &err), MRD_E_CANCELED);
    mrd_arena_destroy(&query.arena);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_series_of_every_partition_comes_once_and_whole),
        TEST(an_answer_in_one_message_is_the_same),
        TEST(interleaved_partitions_with_the_smallest_window_never_stop),
        TEST(a_partition_that_has_left_is_asked_of_another_alone),
        TEST(partitions_of_a_large_question_are_asked_by_themselves),
        TEST(an_answer_that_is_short_or_askew_is_not_taken_for_whole),
        TEST(a_replica_that_fails_midway_is_replaced_without_doubles_or_gaps),
        TEST(a_replica_that_takes_over_goes_on_in_order),
        TEST(only_heads_that_begin_early_enough_answer),
        TEST(a_record_of_before_a_restart_is_not_believed),
        TEST(without_a_replica_left_the_query_fails),
        TEST(a_partial_answer_has_a_warning_for_each_partition_left_out),
        TEST(a_refusal_is_final_and_no_other_replica_is_asked),
        TEST(strong_reads_tell_each_partition_its_own_sequence),
        TEST(label_names_are_united_sorted_and_cut),
        TEST(an_early_end_stops_the_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
