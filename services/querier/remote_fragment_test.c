/* Plan fragments over real NATS, with ingesters that do what the test says: whatever they do, the answer is that of
 * the plan that reads series, or an error that says why. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "bus/nats_fixture.h"
#include "codec/frame.h"
#include "promql/fragment.h"
#include "querier/remote_source.h"
#include "wire/query.h"

enum { PARTITIONS = 3, SERIES = 6, SAMPLES = 3 };

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- the series: in each partition s{i="0".."5",p="<partition>"} at 1, 2 and 3 s ---- */

static const mrd_time_ms times_ms[SAMPLES] = {1000, 2000, 3000};

static void values_of(uint32_t partition, size_t series, double out[SAMPLES])
{
    for (size_t n = 0; n < SAMPLES; n++) {
        out[n] = ldexp(1.0 / (double)(3 + series + n), 40 * (int)partition - 30) *
                 (series % 2 == 0 ? 1 : -1);
    }
}

struct names {
    char i[8];
    char p[8];
    struct mrd_label items[3];
};

static struct mrd_labels labels_of(struct names *names, uint32_t partition, size_t series)
{
    snprintf(names->i, sizeof(names->i), "%zu", series);
    snprintf(names->p, sizeof(names->p), "%u", partition);
    names->items[0] = (struct mrd_label){MRD_BYTES("__name__"), MRD_BYTES("s")};
    names->items[1] = (struct mrd_label){MRD_BYTES("i"), mrd_bytes_of(names->i)};
    names->items[2] = (struct mrd_label){MRD_BYTES("p"), mrd_bytes_of(names->p)};
    return (struct mrd_labels){names->items, 3};
}

static void write_frame(struct mrd_buf *out, uint32_t partition, size_t series)
{
    struct names names;
    struct mrd_buf labels = {0};
    double values[SAMPLES];
    uint8_t bytes[128];
    values_of(partition, series, values);
    mrd_labels_encode(labels_of(&names, partition, series), &labels);
    mrd_frame_write_head(out, mrd_buf_view(&labels), 1);
    struct mrd_chunk chunk = {.count = SAMPLES, .bytes = {.data = bytes}};
    chunk.bytes.size = mrd_chunk_encode(times_ms, values, SAMPLES, bytes, &chunk.encoding);
    mrd_frame_write_chunk(out, &chunk);
    mrd_buf_fini(&labels);
}

/* A partition as a source, as an ingester has it. */
struct mrd_source_set {
    uint32_t partition;
    size_t at;
    struct names names;
    double values[SAMPLES];
};

static enum mrd_status partition_open(void *context, const struct mrd_select *select,
                                      const struct mrd_query_scope *scope,
                                      struct mrd_source_set **out_set, struct mrd_error *err)
{
    (void)select;
    (void)scope;
    (void)err;
    *out_set = context;
    return MRD_OK;
}

static enum mrd_status partition_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                      bool *out_more, struct mrd_error *err)
{
    (void)err;
    *out_more = set->at < SERIES;
    if (*out_more) {
        values_of(set->partition, set->at, set->values);
        out->labels = labels_of(&set->names, set->partition, set->at++);
        out->samples = (struct mrd_samples){times_ms, set->values, SAMPLES, NULL};
    }
    return MRD_OK;
}

static void partition_close(struct mrd_source_set *set) { (void)set; }

/* ---- ingesters ---- */

enum behaviour {
    RUN,
    OLD,         /* knows no plan fragments */
    SMALL,       /* has no memory for one */
    FAIL_MIDWAY, /* in the middle of the states of the second partition that it is asked for */
    RUBBISH,
    OLD_LATE, /* the second partition that it is asked for is refused */
};

struct ingester {
    struct mrd_bus *bus;
    struct mrd_members *members;
    struct mrd_rpc_server *server;
    struct mrd_member_partition serves[PARTITIONS];
    struct mrd_member self;
    _Atomic int behaviour;
    _Atomic size_t fragments; /* partitions whose states were sent whole */
    _Atomic size_t selects;   /* partitions whose series were */
};

struct talk {
    struct ingester *ingester;
    struct mrd_rpc_call *call;
    struct mrd_query_request request;
    struct mrd_buf out;
};

static enum mrd_status send_part(struct talk *talk, uint32_t partition, struct mrd_bytes data,
                                 struct mrd_error *err)
{
    mrd_query_part_data(&talk->out, partition, data);
    const enum mrd_status status = mrd_rpc_call_send(talk->call, mrd_buf_view(&talk->out), err);
    mrd_buf_clear(&talk->out);
    return status;
}

static enum mrd_status send_series(struct talk *talk, uint32_t partition, struct mrd_error *err)
{
    struct mrd_buf frames = {0};
    for (size_t i = 0; i < SERIES; i++) {
        write_frame(&frames, partition, i);
    }
    const enum mrd_status status = send_part(talk, partition, mrd_buf_view(&frames), err);
    mrd_buf_fini(&frames);
    atomic_fetch_add(&talk->ingester->selects, 1);
    return status;
}

static enum mrd_status send_states(struct talk *talk, uint32_t partition, bool fail,
                                   struct mrd_error *err)
{
    struct mrd_source_set set = {.partition = partition};
    const struct mrd_source source = {
        .context = &set, .open = partition_open, .next = partition_next, .close = partition_close};
    struct mrd_fragment fragment;
    struct mrd_buf states = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    MRD_TRY(mrd_fragment_decode(talk->request.fragment, &fragment, err));
    MRD_TRY(mrd_fragment_run(&fragment, &source, NULL, arena, &states, err));
    const size_t half = states.size / 2;
    const struct mrd_bytes first = {states.data, half};
    const struct mrd_bytes second = {states.data + half, states.size - half};
    enum mrd_status status = send_part(talk, partition, first, err);
    if (status == MRD_OK) {
        status = fail ? mrd_fail(err, MRD_E_UNAVAILABLE, "lost my way")
                      : send_part(talk, partition, second, err);
    }
    mrd_buf_fini(&states);
    atomic_fetch_add(&talk->ingester->fragments, status == MRD_OK);
    return status;
}

static enum mrd_status send_answer(struct talk *talk, size_t index, struct mrd_error *err)
{
    const uint32_t partition = talk->request.partitions[index].number;
    const int behaviour = atomic_load(&talk->ingester->behaviour);
    const bool second = index == MRD_MIN(talk->request.partition_count - 1, (size_t)1);
    if (talk->request.kind == MRD_QUERY_SELECT) {
        return send_series(talk, partition, err);
    }
    if (behaviour == OLD || (behaviour == OLD_LATE && second)) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "query request of kind 8");
    }
    if (behaviour == SMALL) {
        return mrd_fail(err, MRD_E_LIMIT, "plan fragment needs more than 3 bytes");
    }
    static const uint8_t rubbish[] = {MRD_FRAGMENT_VERSION, 'r', 'u', 'b', 'b', 'i', 's', 'h'};
    return behaviour == RUBBISH
               ? send_part(talk, partition, (struct mrd_bytes){rubbish, sizeof(rubbish)}, err)
               : send_states(talk, partition, behaviour == FAIL_MIDWAY && second, err);
}

static enum mrd_status send_all(struct talk *talk, struct mrd_error *err)
{
    for (size_t i = 0; i < talk->request.partition_count; i++) {
        const struct mrd_query_trailer trailer = {.series = SERIES, .samples = SERIES * SAMPLES};
        MRD_TRY(send_answer(talk, i, err));
        mrd_query_part_end(&talk->out, talk->request.partitions[i].number, &trailer);
    }
    mrd_rpc_call_last_take(talk->call, &talk->out);
    return MRD_OK;
}

static enum mrd_status on_call(void *context, struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct talk talk = {.ingester = context, .call = call};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    MRD_TRY(mrd_query_request_decode(mrd_rpc_call_request(call), arena, &talk.request, err));
    const enum mrd_status status = send_all(&talk, err);
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

static struct mrd_counter *counter(struct world *world, const char *name)
{
    return mrd_metrics_counter(world->metrics, name, "Test.", MRD_NO_LABELS);
}

static void wait_for_members(struct mrd_members *members, size_t count)
{
    const int64_t deadline_ns = now_ns() + 10000000000;
    for (size_t found = 0; found != count;) {
        const struct mrd_members_snapshot *snapshot = mrd_members_acquire(members);
        found = snapshot->count;
        mrd_members_release(&snapshot);
        assert_true(now_ns() < deadline_ns);
        usleep(2000);
    }
}

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct qry_cluster *cluster = &world->cluster;
    nats_fixture_start(&world->nats);
    ingester_start(&world->one, &world->nats, "one");
    ingester_start(&world->two, &world->nats, "two");
    world->metrics = mrd_metrics_create();
    cluster->bus = nats_fixture_connect(&world->nats);
    cluster->partition_count = PARTITIONS;
    cluster->unavailable_wait_ms = 200;
    cluster->retries = counter(world, "retries");
    cluster->partial = counter(world, "partial");
    cluster->selects_plain = counter(world, "plain");
    cluster->selects_pushed = counter(world, "pushed");
    cluster->fragments_refused = counter(world, "refused");
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

static void behave(struct world *world, enum behaviour one, enum behaviour two)
{
    atomic_store(&world->one.behaviour, (int)one);
    atomic_store(&world->two.behaviour, (int)two);
}

/* ---- queries ---- */

struct asked {
    const char *text;
    bool push_down;
    bool partial;
    size_t series_max;
    size_t samples_max;
};

static enum mrd_status ask(struct world *world, const struct asked *asked, struct mrd_arena *arena,
                           struct mrd_promql_result *out, struct mrd_error *err)
{
    struct qry_remote remote = {
        .options = {.cluster = &world->cluster,
                    .tenant = MRD_BYTES("anonymous"),
                    .push_down = asked->push_down,
                    .partial = asked->partial,
                    .series_max = asked->series_max,
                    .samples_max = asked->samples_max}
    };
    const struct mrd_source source = qry_remote_source(&remote);
    const struct mrd_query_control control = {.clock = mrd_clock_system(),
                                              .deadline_ns = now_ns() + 10000000000};
    const struct mrd_promql_options options = {.features.experimental_functions = true};
    const struct mrd_promql_request request = {mrd_bytes_of(asked->text), 1000, 4000, 500, false};
    return mrd_promql_query(&options, &request, &source, &control, arena, out, err);
}

static void assert_same(const struct mrd_promql_result *a, const struct mrd_promql_result *b)
{
    assert_int_equal(a->series_count, b->series_count);
    assert_true(a->series_count > 0);
    for (size_t s = 0; s < a->series_count; s++) {
        assert_true(mrd_labels_equal(a->series[s].labels, b->series[s].labels));
        assert_int_equal(a->series[s].count, b->series[s].count);
        assert_memory_equal(a->series[s].times_ms, b->series[s].times_ms,
                            a->series[s].count * sizeof(mrd_time_ms));
        assert_memory_equal(a->series[s].values, b->series[s].values,
                            a->series[s].count * sizeof(double));
    }
    assert_memory_equal(&a->stats, &b->stats, sizeof(a->stats));
}

static const char *const texts[] = {"sum(s)", "avg by (i) (s)", "topk(2, s)",
                                    "stddev without (i) (s * 3)", "sum(s) + on () avg(s)"};

/* Both plans give the same, whatever the ingesters do. */
static void compare_plans(struct world *world)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
        struct mrd_promql_result plain;
        struct mrd_promql_result pushed;
        struct mrd_error err = {0};
        const struct asked series = {.text = texts[i]};
        const struct asked states = {.text = texts[i], .push_down = true};
        assert_int_equal(ask(world, &series, arena, &plain, &err), MRD_OK);
        if (ask(world, &states, arena, &pushed, &err) != MRD_OK) {
            fail_msg("%s: %s", texts[i], err.text);
        }
        assert_same(&plain, &pushed);
    }
}

enum { SELECTORS = 6 }; /* of the texts */

static uint64_t refused(const struct world *world)
{
    return mrd_counter_value(world->cluster.fragments_refused);
}

static void states_lead_to_the_same_answer_as_series(void **state)
{
    struct world *world = *state;
    compare_plans(world);
    assert_int_equal(atomic_load(&world->one.fragments) + atomic_load(&world->two.fragments),
                     SELECTORS * PARTITIONS);
    assert_int_equal(atomic_load(&world->one.selects) + atomic_load(&world->two.selects),
                     SELECTORS * PARTITIONS); /* of the plain plans */
    assert_int_equal(mrd_counter_value(world->cluster.selects_pushed), SELECTORS);
    assert_int_equal(mrd_counter_value(world->cluster.selects_plain), SELECTORS);
    assert_int_equal(refused(world), 0);
}

static void older_ingesters_are_asked_for_series(void **state)
{
    struct world *world = *state;
    behave(world, OLD, OLD);
    compare_plans(world);
    assert_int_equal(atomic_load(&world->one.fragments) + atomic_load(&world->two.fragments), 0);
    assert_int_equal(refused(world), SELECTORS);
    behave(world, OLD, RUN);
    compare_plans(world);
    behave(world, OLD_LATE, OLD_LATE);
    compare_plans(world);
    behave(world, SMALL, SMALL);
    compare_plans(world);
}

static void a_replica_that_fails_is_replaced_and_its_states_are_forgotten(void **state)
{
    struct world *world = *state;
    behave(world, FAIL_MIDWAY, RUN);
    compare_plans(world);
    behave(world, RUN, FAIL_MIDWAY);
    compare_plans(world);
    assert_true(mrd_counter_value(world->cluster.retries) > 0);
    assert_int_equal(refused(world), 0);
}

static void states_that_are_none_fail_the_query(void **state)
{
    struct world *world = *state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    const struct asked asked = {.text = "sum(s)", .push_down = true};
    struct mrd_promql_result result;
    struct mrd_error err;
    behave(world, RUBBISH, RUBBISH);
    assert_int_equal(ask(world, &asked, arena, &result, &err), MRD_E_CORRUPT);
    assert_non_null(strstr(err.text, "plan fragment"));
}

static void limits_name_themselves_whichever_plan_meets_them(void **state)
{
    struct world *world = *state;
    for (int push_down = 0; push_down < 2; push_down++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
        const struct asked series = {
            .text = "sum(s)", .push_down = push_down == 1, .series_max = 2 * SERIES};
        const struct asked samples = {
            .text = "sum(s)", .push_down = push_down == 1, .samples_max = 2 * SERIES * SAMPLES};
        const struct asked enough = {.text = "sum(s)",
                                     .push_down = push_down == 1,
                                     .series_max = PARTITIONS * SERIES,
                                     .samples_max = PARTITIONS * SERIES * SAMPLES};
        struct mrd_promql_result result;
        struct mrd_error err;
        assert_int_equal(ask(world, &series, arena, &result, &err), MRD_E_LIMIT);
        assert_string_equal(err.text, "a selector finds more than 12 series (querier.series_max)");
        assert_int_equal(ask(world, &samples, arena, &result, &err), MRD_E_LIMIT);
        assert_int_equal(ask(world, &enough, arena, &result, &err), MRD_OK);
    }
}

/* In the same words, and without evaluating it again. */
static void an_error_of_the_query_itself_is_told_at_once(void **state)
{
    struct world *world = *state;
    char said[2][512];
    for (int push_down = 0; push_down < 2; push_down++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
        const struct asked asked = {.text = "sum(double_exponential_smoothing(s[10m], 2, 0.5))",
                                    .push_down = push_down == 1};
        struct mrd_promql_result result;
        struct mrd_error err;
        assert_int_equal(ask(world, &asked, arena, &result, &err), MRD_E_INVALID);
        assert_true(result.execution_error);
        (void)snprintf(said[push_down], sizeof(said[0]), "%s", err.text);
    }
    assert_string_equal(said[0], said[1]);
    assert_non_null(strstr(said[0], "smoothing factor"));
    assert_true(mrd_counter_value(world->cluster.selects_pushed) > 0);
    assert_int_equal(refused(world), 0);
}

static void a_partition_without_ingester_is_an_error_or_a_warning(void **state)
{
    struct world *world = *state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_promql_result whole;
    struct mrd_promql_result part;
    struct mrd_error err;
    struct asked asked = {.text = "count(s)", .push_down = true};
    world->one.serves[1].state = MRD_PARTITION_LOADING;
    world->two.serves[1].state = MRD_PARTITION_LOADING;
    mrd_members_update(world->one.members, &world->one.self);
    mrd_members_update(world->two.members, &world->two.self);
    const int64_t deadline_ns = now_ns() + 10000000000;
    while (ask(world, &asked, arena, &whole, &err) ==
           MRD_OK) { /* until the querier's members have it */
        assert_true(now_ns() < deadline_ns);
    }
    assert_int_equal(err.status, MRD_E_UNAVAILABLE);
    asked.partial = true;
    assert_int_equal(ask(world, &asked, arena, &part, &err), MRD_OK);
    assert_int_equal(part.annotations.count[MRD_ANNOTATION_WARNING], 1);
    assert_true(part.series[0].values[0] == (PARTITIONS - 1) * SERIES);
}

#define WORLD_TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(states_lead_to_the_same_answer_as_series),
        WORLD_TEST(older_ingesters_are_asked_for_series),
        WORLD_TEST(a_replica_that_fails_is_replaced_and_its_states_are_forgotten),
        WORLD_TEST(states_that_are_none_fail_the_query),
        WORLD_TEST(limits_name_themselves_whichever_plan_meets_them),
        WORLD_TEST(an_error_of_the_query_itself_is_told_at_once),
        WORLD_TEST(a_partition_without_ingester_is_an_error_or_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
