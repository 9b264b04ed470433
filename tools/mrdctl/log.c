/* mrdctl log: whether the partitions' logs are those that blocks were built of, and the operator's decision where not. */
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "mrdctl/command.h"
#include "mrdctl/connection.h"
#include "mrdctl/patience.h"

struct options {
    struct ctl_connection_options connection;
    mrd_time_ms patience_ms;
    uint64_t partition;
    uint64_t lost_through;
};
static const uint64_t NOT_GIVEN = UINT64_MAX;
static const uint64_t LOST_MAX = UINT64_C(1) << 60;

static void json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* ---- printing ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void stream_print(const json_t *one)
{
    const json_t *stream = json_object_get(one, "stream");
    if (!json_is_object(stream)) {
        printf("  stream: none\n");
        return;
    }
    printf("  stream: made at %" JSON_INTEGER_FORMAT " ns, sequences %" JSON_INTEGER_FORMAT
           " to %" JSON_INTEGER_FORMAT ", base %" JSON_INTEGER_FORMAT
           ": positions %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT "\n",
           number_of(stream, "created_ns"), number_of(stream, "first"), number_of(stream, "last"),
           number_of(stream, "base"), number_of(one, "first"), number_of(one, "last"));
}

static void heads_print(const json_t *one)
{
    const json_t *heads = json_object_get(one, "heads");
    for (size_t i = 0; i < json_array_size(heads); i++) {
        const json_t *head = json_array_get(heads, i);
        printf("  head %s: positions %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT
               " of the one made at %" JSON_INTEGER_FORMAT " ns, base %" JSON_INTEGER_FORMAT "\n",
               text_of(head, "instance"), number_of(head, "first"), number_of(head, "applied"),
               number_of(head, "created_ns"), number_of(head, "base"));
    }
}

static const char *meaning_of(const char *belongs)
{
    static const struct {
        const char *word;
        const char *meaning;
    } meanings[] = {
        {"same",     "the stream is the log that blocks were built of"                     },
        {"unbuilt",  "no blocks were built yet"                                            },
        {"new",      "THE STREAM IS NOT THE LOG THAT BLOCKS WERE BUILT OF: it is a new one"},
        {"restored",
         "THE STREAM IS NOT THE LOG THAT BLOCKS WERE BUILT OF: it is an older state of it" },
        {"missing",  "THERE IS NO STREAM"                                                  },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(meanings); i++) {
        if (strcmp(belongs, meanings[i].word) == 0) {
            return meanings[i].meaning;
        }
    }
    return belongs;
}

static bool is_well(const char *belongs)
{
    return strcmp(belongs, "same") == 0 || strcmp(belongs, "unbuilt") == 0;
}

/* False if the partition's log does not belong to its blocks. */
static bool partition_print(const json_t *one)
{
    const char *belongs = text_of(one, "belongs");
    const json_t *built = json_object_get(one, "built");
    printf("partition %" JSON_INTEGER_FORMAT ": %s\n", number_of(one, "partition"),
           meaning_of(belongs));
    stream_print(one);
    printf("  blocks: up to position %" JSON_INTEGER_FORMAT
           " of the one made at %" JSON_INTEGER_FORMAT " ns, base %" JSON_INTEGER_FORMAT "\n",
           number_of(built, "sequence"), number_of(built, "created_ns"), number_of(built, "base"));
    heads_print(one);
    if (!is_well(belongs)) {
        printf("  why: %s\n  known of the log before: up to position %" JSON_INTEGER_FORMAT "\n",
               text_of(one, "why"), number_of(one, "known_end"));
    }
    return is_well(belongs);
}

/* {"status":"success","data":{"catalog":N,"partitions":[...]}} */
static enum mrd_status partitions_of(struct mrd_bytes body, json_t **out_root,
                                     const json_t **out_partitions, struct mrd_error *err)
{
    json_error_t problem;
    *out_root = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES, &problem);
    *out_partitions = json_object_get(json_object_get(*out_root, "data"), "partitions");
    return json_is_array(*out_partitions)
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "the answer is not that of a compactor");
}

static enum mrd_status status_print(struct mrd_bytes body, struct mrd_error *err)
{
    mrd_auto(json_drop)
    json_t *root = NULL;
    const json_t *partitions = NULL;
    size_t unwell = 0;
    MRD_TRY(partitions_of(body, &root, &partitions, err));
    for (size_t i = 0; i < json_array_size(partitions); i++) {
        unwell += partition_print(json_array_get(partitions, i)) ? 0 : 1;
    }
    return unwell == 0 ? MRD_OK
                       : mrd_fail(err, MRD_E_INVALID,
                                  "of %zu partitions nothing is built before somebody has decided: "
                                  "restore the log that there was, or adopt the one that there is "
                                  "(mrdctl log adopt)",
                                  unwell);
}

static enum mrd_status adopted_print(struct mrd_bytes body, struct mrd_error *err)
{
    mrd_auto(json_drop)
    json_t *root = NULL;
    const json_t *partitions = NULL;
    MRD_TRY(partitions_of(body, &root, &partitions, err));
    for (size_t i = 0; i < json_array_size(partitions); i++) {
        printf("partition %" JSON_INTEGER_FORMAT ": adopted\n",
               number_of(json_array_get(partitions, i), "partition"));
    }
    if (json_array_size(partitions) == 0) {
        printf("nothing to adopt: the streams are the logs that blocks were built of\n");
    }
    return MRD_OK;
}

/* ---- asking ---- */

typedef enum mrd_status print_fn(struct mrd_bytes body, struct mrd_error *err);

static enum mrd_status ask(struct ctl_connection *connection, const struct mrd_http_call *call,
                           print_fn *print, struct mrd_error *err)
{
    struct mrd_http_answer answer;
    MRD_TRY(ctl_connection_send(connection, call, &answer, err));
    if (answer.status == 200) {
        return print(answer.body, err);
    }
    if (answer.status == 409) {
        return mrd_fail(err, MRD_E_INVALID, "not adopted:\n%.*s", MRD_FMT(answer.body));
    }
    const struct mrd_bytes text = ctl_answer_text(&answer);
    return mrd_fail(err, answer.status >= 500 ? MRD_E_UNAVAILABLE : MRD_E_INVALID,
                    "the compactor answers %u: %.*s", answer.status, MRD_FMT(text));
}

static enum ctl_exit ask_patiently(const struct ctl_command *command, const struct options *options,
                                   const struct mrd_http_call *call, print_fn *print)
{
    struct mrd_error err;
    struct ctl_patience patience;
    mrd_auto(ctl_connection_close)
    struct ctl_connection connection = {0};
    enum mrd_status status = ctl_connection_open(&connection, &options->connection, &err);
    if (status != MRD_OK) {
        return ctl_fail(command, status, &err);
    }
    ctl_patience_init(&patience, options->patience_ms);
    do {
        status = ask(&connection, call, print, &err);
    } while (status == MRD_E_UNAVAILABLE &&
             ctl_patience_wait(&patience, ctl_retry_after_ms(connection.client), err.text));
    return status == MRD_OK ? CTL_EXIT_DONE : ctl_fail(command, status, &err);
}

#define COMMON_ROWS(given_)                                                                        \
    CTL_CONNECTION_ROWS(&(given_)->connection,                                                     \
                        "a compactor's operations port, such as http://127.0.0.1:7203"),           \
        CTL_RANGE_ROW("partition", CTL_COUNT, "NUMBER", "of this one; without it: of all",         \
                      &(given_)->partition, 0, 4095),                                              \
        CTL_RANGE_ROW("give-up-after", CTL_DURATION, "TIME",                                       \
                      "how long it is asked again while it cannot answer; 1m",                     \
                      &(given_)->patience_ms, 0, CTL_TIME_MAX_MS)

static void url_make(const struct options *options, const char *path, char out[256])
{
    int size = snprintf(out, 256, "%s", path);
    const char *separator = "?";
    if (options->partition != NOT_GIVEN) {
        size += snprintf(out + size, 256 - (size_t)size, "?partition=%" PRIu64, options->partition);
        separator = "&";
    }
    if (options->lost_through != NOT_GIVEN) {
        (void)snprintf(out + size, 256 - (size_t)size, "%slost_through=%" PRIu64, separator,
                       options->lost_through);
    }
}

static enum ctl_exit run_status(const struct ctl_command *command, int count, char **arguments)
{
    enum ctl_exit code;
    char url[256];
    struct options given = {
        .patience_ms = 60 * 1000, .partition = NOT_GIVEN, .lost_through = NOT_GIVEN};
    const struct ctl_option options[] = {COMMON_ROWS(&given)};
    if (!ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, NULL,
                          &code)) {
        return code;
    }
    url_make(&given, "/logs", url);
    return ask_patiently(command, &given, &(struct mrd_http_call){.method = "GET", .url = url},
                         status_print);
}

static enum ctl_exit run_adopt(const struct ctl_command *command, int count, char **arguments)
{
    enum ctl_exit code;
    char url[256];
    struct options given = {
        .patience_ms = 60 * 1000, .partition = NOT_GIVEN, .lost_through = NOT_GIVEN};
    const struct ctl_option options[] = {
        COMMON_ROWS(&given),
        CTL_RANGE_ROW("lost-through", CTL_COUNT, "POSITION",
                      "what the log before had behind the blocks is lost, through this position "
                      "at least",
                      &given.lost_through, 1, LOST_MAX),
    };
    if (!ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, NULL,
                          &code)) {
        return code;
    }
    url_make(&given, "/logs/adopt", url);
    return ask_patiently(command, &given, &(struct mrd_http_call){.method = "POST", .url = url},
                         adopted_print);
}

const struct ctl_command ctl_log_status = {
    .words = "log status",
    .summary = "whether the partitions' logs are those that blocks were built of",
    .help = "mrdctl log status --url URL\n\n"
            "Asks a compactor, any of the region, for each partition: which stream there is, of "
            "which log blocks\n"
            "were built and how far, and what the ingesters have read. The exit code is 1 if a "
            "stream is another\n"
            "log than that of the blocks.",
    .run = run_status,
};

const struct ctl_command ctl_log_adopt = {
    .words = "log adopt",
    .summary = "go on with the streams that there are, after a log was lost or restored",
    .help = "mrdctl log adopt --url URL --lost-through POSITION [--partition NUMBER]\n\n"
            "The streams that there are now are the partitions' logs from now on, though blocks "
            "were built of\n"
            "others. What those had taken and blocks do not have is lost then, so it must be said "
            "through which\n"
            "position; `mrdctl log status` says what is known. Streams that belong to their blocks "
            "are left as\n"
            "they are, and doing it again does no harm.",
    .run = run_adopt,
};
