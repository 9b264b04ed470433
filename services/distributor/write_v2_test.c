/* Every status rule of remote write 2.0, and of what both versions bring besides float samples. */
#include "distributor/write_rig.h"

static const mrd_time_ms NOW = 1800000000000;

#define V2 "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n"

/* ---- requests of 2.0 ---- */

/* A request under construction: symbols are added as they are named. */
struct request {
    struct mrd_buf symbols; /* fields, ready */
    struct mrd_buf series;
    const char *names[64];
    uint32_t count;
};

static uint32_t symbol(struct request *request, const char *text)
{
    for (uint32_t i = 0; i < request->count; i++) {
        if (strcmp(request->names[i], text) == 0) {
            return i;
        }
    }
    mrd_assert(request->count < MRD_ARRAY_LEN(request->names));
    request->names[request->count] = text;
    put_field(&request->symbols, 0x22, mrd_bytes_of(text));
    return request->count++;
}

static void put_varint(struct mrd_buf *out, unsigned field, uint64_t value)
{
    mrd_buf_append_varint(out, field << 3);
    mrd_buf_append_varint(out, value);
}

/* Labels as "name=value", separated by blanks. */
static void put_references(struct request *request, struct mrd_buf *out, const char *const *labels)
{
    struct mrd_buf packed = {0};
    for (; *labels != NULL; labels++) {
        mrd_buf_append_varint(&packed, symbol(request, *labels));
    }
    put_field(out, 0x0a, mrd_buf_view(&packed));
    mrd_buf_fini(&packed);
}

static void put_v2_sample(struct mrd_buf *entry, mrd_time_ms time_ms, double value,
                          mrd_time_ms start_ms)
{
    struct mrd_buf sample = {0};
    mrd_buf_append_u8(&sample, 0x09);
    mrd_buf_append_u64(&sample, mrd_double_bits(value));
    put_varint(&sample, 2, (uint64_t)time_ms);
    if (start_ms != 0) {
        put_varint(&sample, 3, (uint64_t)start_ms);
    }
    put_field(entry, 0x12, mrd_buf_view(&sample));
    mrd_buf_fini(&sample);
}

/* `buckets` buckets of one observation each; `count` is what the histogram says. */
static void put_histogram(struct mrd_buf *entry, uint8_t tag, mrd_time_ms time_ms, uint64_t count,
                          uint32_t buckets)
{
    struct mrd_buf histogram = {0};
    struct mrd_buf span = {0};
    struct mrd_buf deltas = {0};
    put_varint(&histogram, 1, count);
    put_varint(&span, 2, buckets);
    put_field(&histogram, 0x5a, mrd_buf_view(&span));
    for (uint32_t i = 0; i < buckets; i++) {
        mrd_buf_append_zigzag(&deltas, i == 0 ? 1 : 0);
    }
    put_field(&histogram, 0x62, mrd_buf_view(&deltas));
    put_varint(&histogram, 15, (uint64_t)time_ms);
    put_varint(&histogram, 17, (uint64_t)(time_ms - 1000));
    put_field(entry, tag, mrd_buf_view(&histogram));
    mrd_buf_fini(&histogram);
    mrd_buf_fini(&span);
    mrd_buf_fini(&deltas);
}

static void put_exemplar(struct request *request, struct mrd_buf *entry, mrd_time_ms time_ms,
                         const char *const *labels)
{
    struct mrd_buf exemplar = {0};
    put_references(request, &exemplar, labels);
    put_varint(&exemplar, 3, (uint64_t)time_ms);
    put_field(entry, 0x22, mrd_buf_view(&exemplar));
    mrd_buf_fini(&exemplar);
}

static void put_metadata(struct request *request, struct mrd_buf *entry, uint64_t type,
                         const char *help)
{
    struct mrd_buf metadata = {0};
    put_varint(&metadata, 1, type);
    put_varint(&metadata, 3, symbol(request, help));
    put_field(entry, 0x2a, mrd_buf_view(&metadata));
    mrd_buf_fini(&metadata);
}

#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct mrd_buf entry_of(struct request *request, const char *const *labels)
{
    struct mrd_buf entry = {0};
    put_references(request, &entry, labels);
    return entry;
}

static void put_entry(struct request *request, struct mrd_buf *entry)
{
    put_field(&request->series, 0x2a, mrd_buf_view(entry));
    mrd_buf_fini(entry);
}

static struct request request_begin(void)
{
    struct request request = {0};
    (void)symbol(&request, "");
    return request;
}

/* ---- answers ---- */

/* What an answer must say was written; -1: the header must not be there. */
struct written {
    int samples;
    int histograms;
    int exemplars;
};

static void expect_header(const struct raw_answer *got, const char *name, int want)
{
    char value[32] = "";
    const bool there = raw_header(got, name, value, sizeof(value));
    if (there != (want >= 0) || (there && atoi(value) != want)) {
        fail_msg("%s: \"%s\", not %d", name, value, want);
    }
}

static void expect_written(struct fixture *fixture, const struct mrd_buf *body, const char *headers,
                           unsigned status, const char *text, struct written written)
{
    mrd_auto(raw_answer_fini)
    struct raw_answer got = post(fixture, body, headers);
    mrd_buf_append_u8(&got.body, 0);
    if (got.status != status || strstr((const char *)got.body.data, text) == NULL) {
        fail_msg("status %u, not %u with \"%s\": %s", got.status, status, text,
                 (const char *)got.body.data);
    }
    expect_header(&got, "X-Prometheus-Remote-Write-Samples-Written", written.samples);
    expect_header(&got, "X-Prometheus-Remote-Write-Histograms-Written", written.histograms);
    expect_header(&got, "X-Prometheus-Remote-Write-Exemplars-Written", written.exemplars);
}

/* Sends the request, which ends here. */
static void expect(struct fixture *fixture, struct request *request, unsigned status,
                   const char *text, struct written written)
{
    struct mrd_buf body = {0};
    mrd_buf_append_bytes(&body, mrd_buf_view(&request->symbols));
    mrd_buf_append_bytes(&body, mrd_buf_view(&request->series));
    expect_written(fixture, &body, V2, status, text, written);
    mrd_buf_fini(&body);
}

static void request_end(struct request *request)
{
    mrd_buf_fini(&request->symbols);
    mrd_buf_fini(&request->series);
}

/* ---- tests of 2.0 ---- */

/* A counter with a start and an exemplar, a native histogram, metadata on both. */
static struct request some_of_each(void)
{
    struct request request = request_begin();
    struct mrd_buf entry = entry_of(&request, LABELS("__name__", "requests_total", "job", "a"));
    put_v2_sample(&entry, NOW, 7, NOW - 5000);
    put_exemplar(&request, &entry, NOW - 1, LABELS("trace_id", "abc"));
    put_metadata(&request, &entry, 1, "Requests.");
    put_entry(&request, &entry);
    entry = entry_of(&request, LABELS("__name__", "latency_seconds", "job", "a"));
    put_histogram(&entry, 0x1a, NOW, 3, 3);
    put_metadata(&request, &entry, 3, "Latency.");
    put_entry(&request, &entry);
    return request;
}

static void everything_is_written_and_counted(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct request request = some_of_each();
    expect(fixture, &request, 204, "", (struct written){1, 1, 1});
    expect(fixture, &request, 204, "", (struct written){1, 1, 1});
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, 2);
    assert_int_equal(contents.histograms, 2);
    assert_int_equal(contents.exemplars, 2);
    assert_int_equal(contents.started, 4);
    assert_int_equal(contents.announcements, 2); /* once each */
    assert_int_equal(contents.metadata, 2);      /* likewise */
    assert_true(contents.sum == 14);
    static const struct {
        enum dst_kind kind;
        uint64_t want;
    } counted[] = {
        {DST_KIND_SAMPLES,    2},
        {DST_KIND_HISTOGRAMS, 2},
        {DST_KIND_EXEMPLARS,  2},
        {DST_KIND_METADATA,   4}
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(counted); i++) {
        assert_int_equal(mrd_counter_value(fixture->intake_metrics.accepted[counted[i].kind]),
                         counted[i].want);
        assert_int_equal(
            mrd_counter_value(mrd_counter_vec_at(
                fixture->intake_metrics.tenant_accepted[counted[i].kind], MRD_BYTES("anonymous"))),
            counted[i].want);
    }
    request_end(&request);
}

/* The numbers of symbols say nothing: the same series in other numbers, and in remote write 1.0, is the same. */
static void series_are_recognised_whatever_their_references(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct request first = request_begin();
    struct mrd_buf entry = entry_of(&first, LABELS("__name__", "up", "job", "a"));
    put_v2_sample(&entry, NOW, 1, 0);
    put_entry(&first, &entry);
    expect(fixture, &first, 204, "", (struct written){1, 0, 0});
    struct request second = request_begin();
    (void)symbol(&second, "a");
    (void)symbol(&second, "unused");
    entry = entry_of(&second, LABELS("__name__", "up", "job", "a"));
    put_v2_sample(&entry, NOW + 1, 1, 0);
    put_entry(&second, &entry);
    entry = entry_of(&second,
                     LABELS("job", "a", "__name__", "up")); /* not sorted: taken all the same */
    put_v2_sample(&entry, NOW + 2, 1, 0);
    put_entry(&second, &entry);
    expect(fixture, &second, 204, "", (struct written){2, 0, 0});
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, 3);
    assert_int_equal(contents.announcements, 2); /* the second for the order that is new */
    assert_int_equal(mrd_counter_value(fixture->intake_metrics.series_hits), 1);
    request_end(&first);
    request_end(&second);
}

/* Every rule by which a part is refused, with what must be told; a valid sample beside it is kept. */
static void put_wrong_part(struct request *request, size_t which)
{
    struct mrd_buf entry = {0};
    switch (which) {
    case 0: /* no name */
        entry = entry_of(request, LABELS("job", "a"));
        put_v2_sample(&entry, NOW, 1, 0);
        break;
    case 1: /* a name twice */
        entry = entry_of(request, LABELS("__name__", "x", "job", "a", "job", "b"));
        put_v2_sample(&entry, NOW, 1, 0);
        break;
    case 2: /* an odd number of references */
        put_field(&entry, 0x0a, MRD_BYTES("\x01"));
        put_v2_sample(&entry, NOW, 1, 0);
        break;
    case 3: /* a reference beyond the table */
        put_field(&entry, 0x0a, MRD_BYTES("\x01\x63"));
        put_v2_sample(&entry, NOW, 1, 0);
        break;
    case 4: /* an empty label name */
        entry = entry_of(request, LABELS("__name__", "x", "", "b"));
        put_v2_sample(&entry, NOW, 1, 0);
        break;
    case 5: /* nothing */
        entry = entry_of(request, LABELS("__name__", "x"));
        break;
    case 6: /* the future */
        entry = entry_of(request, LABELS("__name__", "x"));
        put_v2_sample(&entry, NOW + 600001, 1, 0);
        break;
    case 7: /* counts that do not add up */
        entry = entry_of(request, LABELS("__name__", "x"));
        put_histogram(&entry, 0x1a, NOW, 4, 3);
        break;
    case 8: /* more buckets than the limit */
        entry = entry_of(request, LABELS("__name__", "x"));
        put_histogram(&entry, 0x1a, NOW, 101, 101);
        break;
    case 9: /* a histogram of the future */
        entry = entry_of(request, LABELS("__name__", "x"));
        put_histogram(&entry, 0x1a, NOW + 600001, 1, 1);
        break;
    case 10: /* a histogram of no series */
        entry = entry_of(request, LABELS("job", "x"));
        put_histogram(&entry, 0x1a, NOW, 1, 1);
        break;
    default:
        fail();
    }
    put_entry(request, &entry);
}

static const char *const wrong_parts[] = {
    "1 of 2 samples were not written, the others were:\n1 labels: a series has no metric name",
    "1 of 2 samples were not written, the others were:\n1 labels: label \"job\" stands twice",
    "1 labels: labels of a series: labels have an odd number of references",
    "1 labels: labels of a series: reference 99 is beyond the request's",
    "1 labels: ",
    "1 of 1 series were not written, the others were:\n"
    "1 empty: TimeSeries must contain at least one sample or histogram",
    "1 future: timestamp 1800000600001 ms lies more than limits.creation_grace_period",
    "1 of 1 histograms were not written, the others were:\n1 histogram: 3 observations found in "
    "buckets, but the Count field is 4",
    "1 histogram_limit: a native histogram has 101 buckets, more than the limit of 100 "
    "(limits.histogram_buckets_max)",
    "1 future: timestamp 1800000600001 ms",
    "1 of 1 histograms were not written, the others were:\n1 labels: a series has no metric name",
};

static void a_wrong_part_refuses_only_itself(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong_parts); i++) {
        struct request request = request_begin();
        put_wrong_part(&request, i);
        struct mrd_buf entry = entry_of(&request, LABELS("__name__", "good"));
        put_v2_sample(&entry, NOW, 1, 0);
        put_entry(&request, &entry);
        expect(fixture, &request, 400, wrong_parts[i], (struct written){1, 0, 0});
        request_end(&request);
    }
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, MRD_ARRAY_LEN(wrong_parts));
    assert_int_equal(contents.histograms + contents.exemplars, 0);
}

/* As Prometheus' sender sends them: beside the series with the samples. */
static void exemplars_may_come_without_samples(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct request request = request_begin();
    struct mrd_buf entry = entry_of(&request, LABELS("__name__", "x"));
    put_exemplar(&request, &entry, NOW, LABELS("a", "b"));
    put_entry(&request, &entry);
    expect(fixture, &request, 204, "", (struct written){0, 0, 1});
    assert_int_equal(read_log().exemplars, 1);
    request_end(&request);
}

static _Atomic bool all_are_active;

/* Ingesters that have no room for anything new. */
static void ask_without_room(void *context, struct dst_question *questions, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        questions[i].series = 1000;
        questions[i].distributors = 1;
        memset(questions[i].answered, 1, PARTITIONS);
        memset(questions[i].active, all_are_active, questions[i].starts[PARTITIONS]);
    }
}

/* Whatever is wrong with the items of a new series is told once, and for the others that the series may not be. */
static void of_new_series_beyond_the_limit_every_item_is_refused_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->ask = ask_without_room;
    fixture->waiting_bytes_max = 1 << 20;
    fixture->limits.active_series_max = 5;
    begin(fixture);
    static char long_value[200];
    memset(long_value, 'x', sizeof(long_value) - 1);
    struct request request = request_begin();
    struct mrd_buf entry = entry_of(&request, LABELS("__name__", "a"));
    put_v2_sample(&entry, NOW, 1, 0);
    put_exemplar(&request, &entry, NOW, LABELS("a", long_value));
    for (int i = 0; i < 12; i++) {
        put_exemplar(&request, &entry, NOW + i, LABELS("a", "b"));
    }
    put_metadata(&request, &entry, 1, "Help.");
    put_entry(&request, &entry);
    entry = entry_of(&request, LABELS("__name__", "h"));
    put_histogram(&entry, 0x1a, NOW, 3, 3);
    put_histogram(&entry, 0x1a, NOW + 1, 4, 3); /* its count is wrong */
    put_histogram(&entry, 0x1a, NOW + 2, 3, 3);
    put_entry(&request, &entry);
    atomic_store(&all_are_active, false);
    const char *all =
        "1 of 1 samples, 3 of 3 histograms, 13 of 13 exemplars were not written, the others were:\n"
        "12 series_limit: tenant \"anonymous\" has 1000 active series, limits.active_series_max "
        "(5)";
    expect(fixture, &request, 400, all, (struct written){0, 0, 0});
    expect(fixture, &request, 400, "\n1 histogram: ", (struct written){0, 0, 0});
    expect(fixture, &request, 400, "\n1 exemplar: ", (struct written){0, 0, 0});
    expect(fixture, &request, 400, "\n3 exemplar_limit: ", (struct written){0, 0, 0});
    assert_int_equal(read_log().metadata, 1);
    assert_int_equal(read_log().announcements, 0);
    atomic_store(&all_are_active, true);
    expect(fixture, &request, 400, "1 of 3 histograms, 4 of 13 exemplars were not written",
           (struct written){1, 2, 9});
    assert_int_equal(read_log().announcements, 2);
    request_end(&request);
}

static void exemplars_are_refused_one_by_one(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct request request = request_begin();
    struct mrd_buf entry = entry_of(&request, LABELS("__name__", "x"));
    put_v2_sample(&entry, NOW, 1, 0);
    char long_value[130];
    memset(long_value, 'x', sizeof(long_value) - 1);
    long_value[sizeof(long_value) - 1] = 0;
    put_exemplar(&request, &entry, NOW, LABELS("a", long_value));
    put_exemplar(&request, &entry, NOW + 600001, LABELS("a", "b"));
    for (int i = 0; i < 10; i++) { /* two are over the limit of 10 */
        put_exemplar(&request, &entry, NOW + i, LABELS("a", "b"));
    }
    put_entry(&request, &entry);
    expect(fixture, &request, 400,
           "4 of 12 exemplars were not written, the others were:\n1 future:",
           (struct written){1, 0, 8});
    expect(fixture, &request, 400,
           "1 exemplar: label length for exemplar exceeds maximum of 128 UTF-8 characters\n"
           "2 exemplar_limit: the request has more exemplars than the limit of 10 "
           "(limits.exemplars_per_request_max)",
           (struct written){1, 0, 8});
    assert_int_equal(read_log().exemplars, 16);
    request_end(&request);
}

/* Of a series that cannot be, everything is refused, counted once each. */
static void what_a_nameless_series_brings_is_refused_with_it(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct request request = request_begin();
    struct mrd_buf entry = entry_of(&request, LABELS("job", "a"));
    put_v2_sample(&entry, NOW, 1, 0);
    put_v2_sample(&entry, NOW + 1, 1, 0);
    for (int i = 0; i < 3; i++) {
        put_histogram(&entry, 0x1a, NOW, i == 0 ? 9 : 1, 1); /* the first is wrong by itself */
        put_exemplar(&request, &entry, NOW, LABELS("a", "b"));
    }
    put_entry(&request, &entry);
    expect(
        fixture, &request, 400,
        "2 of 2 samples, 3 of 3 histograms, 3 of 3 exemplars were not written, the others were:\n"
        "7 labels: a series has no metric name: send the label __name__\n1 histogram: ",
        (struct written){0, 0, 0});
    assert_int_equal(message_count(), 0);
    request_end(&request);
}

/* Whole requests that are refused leave nothing, and say so in the headers. */
static void a_refused_request_has_written_nothing(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    const struct written none = {0, 0, 0};
    struct mrd_buf body = {0};
    mrd_buf_append(&body, "\x22\x01x", 3);
    expect_written(fixture, &body, V2, 400, "the first symbol is \"x\"", none);
    mrd_buf_clear(&body);
    put_series(&body, "a", NOW, 1);
    expect_written(fixture, &body, V2, 400, "is a remote-write 1.0 message", none);
    mrd_buf_clear(&body);
    expect_written(fixture, &body, V2, 204, "", none); /* asks for nothing */
    struct request request = some_of_each();
    mrd_buf_append_bytes(&body, mrd_buf_view(&request.symbols));
    mrd_buf_append_bytes(&body, mrd_buf_view(&request.series));
    expect_written(fixture, &body, "", 400, "is a remote-write 2.0 message",
                   (struct written){-1, -1, -1});
    mrd_buf_append_u8(&body, 0x2a); /* and half an entry */
    expect_written(fixture, &body, V2, 400, "malformed field", none);
    assert_int_equal(message_count(), 0);
    request_end(&request);
    mrd_buf_fini(&body);
}

static void what_the_log_does_not_take_is_not_counted(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct request request = some_of_each();
    set_mode(LOG_NOT_READY);
    expect(fixture, &request, 503, "the log is full", (struct written){0, 0, 0});
    set_mode(LOG_TIMES_OUT);
    expect(fixture, &request, 503, "", (struct written){0, 0, 0});
    set_mode(LOG_ACKS);
    expect(fixture, &request, 204, "", (struct written){1, 1, 1});
    const struct contents contents = read_log();
    assert_int_equal(contents.metadata, 4); /* again, until the log had it */
    request_end(&request);
}

static void a_busy_distributor_says_503_with_nothing_written(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    fixture->push.bytes_in_flight_max = 1;
    struct mrd_buf first = {0};
    put_series(&first, "a", NOW, 1);
    set_mode(LOG_HOLDS);
    struct raw_client client = raw_connect(mrd_http_server_port(fixture->server));
    send_post(&client, &first, "");
    wait_for_messages(1);
    struct request request = some_of_each();
    expect(fixture, &request, 503, "too many requests wait", (struct written){0, 0, 0});
    release_held(MRD_OK);
    struct raw_answer answer = raw_answer(&client, true);
    assert_int_equal(answer.status, 204);
    raw_answer_fini(&answer);
    raw_close(&client);
    request_end(&request);
    mrd_buf_fini(&first);
}

static void over_the_rate_is_429_with_nothing_written(void **state)
{
    struct fixture *fixture = *state;
    fixture->limits.ingestion_rate = 1;
    fixture->limits.ingestion_burst = 3;
    begin(fixture);
    struct request request = some_of_each(); /* three tokens */
    expect(fixture, &request, 204, "", (struct written){1, 1, 1});
    expect(fixture, &request, 429, "limits.ingestion_rate", (struct written){0, 0, 0});
    request_end(&request);
}

static void metadata_keeps_to_its_limits(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct request request = request_begin();
    static char names[12][4];
    for (int i = 0; i < 12; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%d", i);
        struct mrd_buf entry = entry_of(&request, LABELS("__name__", names[i]));
        put_v2_sample(&entry, NOW, 1, 0);
        put_metadata(&request, &entry, 2, "help");
        put_entry(&request, &entry);
    }
    expect(fixture, &request, 400,
           "2 of 12 metadata were not written, the others were:\n2 metadata_limit: the request has "
           "more metadata entries than the limit of 10 (limits.metadata_per_request_max)",
           (struct written){12, 0, 0});
    request_end(&request);
    char help[101];
    memset(help, 'h', sizeof(help) - 1);
    help[sizeof(help) - 1] = 0;
    request = request_begin();
    struct mrd_buf entry = entry_of(&request, LABELS("__name__", "x"));
    put_v2_sample(&entry, NOW, 1, 0);
    put_metadata(&request, &entry, 2, help);
    put_entry(&request, &entry);
    expect(
        fixture, &request, 400,
        "1 metadata_limit: the metadata of a metric family has 101 bytes, more than the limit of "
        "100 (limits.metadata_bytes_max)",
        (struct written){1, 0, 0});
    assert_int_equal(read_log().metadata, 10);
    request_end(&request);
}

/* ---- the same of 1.0 ---- */

static void put_v1_metadata(struct mrd_buf *request, const char *family, const char *help)
{
    struct mrd_buf metadata = {0};
    put_varint(&metadata, 1, 1);
    put_field(&metadata, 0x12, mrd_bytes_of(family));
    put_field(&metadata, 0x22, mrd_bytes_of(help));
    put_field(request, 0x1a, mrd_buf_view(&metadata));
    mrd_buf_fini(&metadata);
}

static void version_1_brings_the_same_without_headers(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    const struct written silent = {-1, -1, -1};
    struct mrd_buf request = {0};
    struct mrd_buf entry = {0};
    put_label(&entry, "__name__", "latency_seconds");
    put_field(&entry, 0x1a, MRD_BYTES("\x0a\x06\x0a\x01t\x12\x01x\x18\x07")); /* an exemplar */
    put_histogram(&entry, 0x22, NOW, 2, 2);
    put_field(&request, 0x0a, mrd_buf_view(&entry));
    put_v1_metadata(&request, "latency_seconds", "Latency.");
    expect_written(fixture, &request, "", 204, "", silent);
    put_v1_metadata(&request, "", "of nothing");
    mrd_buf_clear(&entry);
    put_label(&entry, "__name__", "latency_seconds");
    put_histogram(&entry, 0x22, NOW, 3, 2);
    put_field(&request, 0x0a, mrd_buf_view(&entry));
    expect_written(fixture, &request, "", 400,
                   "1 of 2 histograms, 1 of 2 metadata were not written, the others were:\n"
                   "1 histogram: 2 observations found",
                   silent);
    const struct contents contents = read_log();
    assert_int_equal(contents.histograms, 2);
    assert_int_equal(contents.exemplars, 2);
    assert_int_equal(contents.metadata, 1);
    mrd_buf_fini(&entry);
    mrd_buf_fini(&request);
}

/* As Prometheus sends them, in requests of their own. */
static void metadata_alone_is_stored_once_an_epoch(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_v1_metadata(&request, "up", "Is it up?");
    put_v1_metadata(&request, "up", "Is it up?");
    expect_post(fixture, &request, "", 204, "");
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().metadata, 1);
    expect_post(fixture, &request, "X-Scope-OrgID: other\r\n", 204, "");
    assert_int_equal(read_log().metadata, 2);
    atomic_fetch_add(&played_now_ms, MRD_BATCH_EPOCH_MS);
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().metadata, 3);
    put_v1_metadata(&request, "up", "Another text.");
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().metadata, 4);
    mrd_buf_fini(&request);
}

/* The played log refuses messages of a MiB: large histograms have batches of their own. */
static void large_histograms_fit_into_messages(void **state)
{
    struct fixture *fixture = *state;
    fixture->limits.histogram_buckets_max = MRD_HISTOGRAM_PARTS_MAX;
    begin(fixture);
    struct mrd_buf request = {0};
    enum { COUNT = 60 };
    for (int i = 0; i < COUNT; i++) {
        struct mrd_buf entry = {0};
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", i);
        put_label(&entry, "__name__", name);
        put_histogram(&entry, 0x22, NOW, MRD_HISTOGRAM_PARTS_MAX, MRD_HISTOGRAM_PARTS_MAX);
        put_field(&request, 0x0a, mrd_buf_view(&entry));
        mrd_buf_fini(&entry);
    }
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().histograms, COUNT);
    mrd_buf_fini(&request);
}

#define WRITE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITE_TEST(everything_is_written_and_counted),
        WRITE_TEST(series_are_recognised_whatever_their_references),
        WRITE_TEST(a_wrong_part_refuses_only_itself),
        WRITE_TEST(exemplars_may_come_without_samples),
        WRITE_TEST(exemplars_are_refused_one_by_one),
        WRITE_TEST(of_new_series_beyond_the_limit_every_item_is_refused_once),
        WRITE_TEST(what_a_nameless_series_brings_is_refused_with_it),
        WRITE_TEST(a_refused_request_has_written_nothing),
        WRITE_TEST(what_the_log_does_not_take_is_not_counted),
        WRITE_TEST(a_busy_distributor_says_503_with_nothing_written),
        WRITE_TEST(over_the_rate_is_429_with_nothing_written),
        WRITE_TEST(metadata_keeps_to_its_limits),
        WRITE_TEST(version_1_brings_the_same_without_headers),
        WRITE_TEST(metadata_alone_is_stored_once_an_epoch),
        WRITE_TEST(large_histograms_fit_into_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
