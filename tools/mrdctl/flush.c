/* mrdctl flush: has a region's compactors bring all that the log has now to blocks, and merge them. */
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "mrdctl/command.h"
#include "mrdctl/connection.h"
#include "mrdctl/patience.h"

struct options {
    struct ctl_connection_options connection;
    mrd_time_ms patience_ms;
    bool build_only;
};

static void json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* {"status":"success","data":{"catalog":N,"partitions":[{"partition":P,"sequence":S},...]}} */
static enum mrd_status answer_print(struct mrd_bytes body, struct mrd_error *err)
{
    json_error_t problem;
    mrd_auto(json_drop)
    json_t *root = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES, &problem);
    const json_t *data = json_object_get(root, "data");
    const json_t *partitions = json_object_get(data, "partitions");
    if (!json_is_array(partitions) || !json_is_integer(json_object_get(data, "catalog"))) {
        return mrd_fail(err, MRD_E_INVALID, "the answer is not that of a compactor");
    }
    printf("in blocks as of commit %" JSON_INTEGER_FORMAT " of the catalog:\n",
           json_integer_value(json_object_get(data, "catalog")));
    for (size_t i = 0; i < json_array_size(partitions); i++) {
        const json_t *one = json_array_get(partitions, i);
        printf("partition %" JSON_INTEGER_FORMAT ": up to sequence %" JSON_INTEGER_FORMAT "\n",
               json_integer_value(json_object_get(one, "partition")),
               json_integer_value(json_object_get(one, "sequence")));
    }
    return MRD_OK;
}

static enum mrd_status flush_try(struct ctl_connection *connection, bool build_only,
                                 struct mrd_error *err)
{
    struct mrd_http_answer answer;
    const struct mrd_http_call call = {
        .method = "POST", .url = build_only ? "/flush?merge=false" : "/flush?merge=true"};
    MRD_TRY(ctl_connection_send(connection, &call, &answer, err));
    if (answer.status == 200) {
        return answer_print(answer.body, err);
    }
    const struct mrd_bytes text = ctl_answer_text(&answer);
    const bool later = answer.status == 429 || answer.status >= 500;
    return mrd_fail(err, later ? MRD_E_UNAVAILABLE : MRD_E_INVALID,
                    "the compactor answers %u: %.*s", answer.status, MRD_FMT(text));
}

static enum ctl_exit flush_run(const struct ctl_command *command, const struct options *options)
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
        status = flush_try(&connection, options->build_only, &err);
    } while (status == MRD_E_UNAVAILABLE &&
             ctl_patience_wait(&patience, ctl_retry_after_ms(connection.client), err.text));
    return status == MRD_OK ? CTL_EXIT_DONE : ctl_fail(command, status, &err);
}

static enum ctl_exit run(const struct ctl_command *command, int count, char **arguments)
{
    enum ctl_exit code;
    struct options given = {.patience_ms = 10 * 60 * 1000};
    const struct ctl_option options[] = {
        CTL_CONNECTION_ROWS(&given.connection,
                            "a compactor's operations port, such as http://127.0.0.1:7203"),
        CTL_RANGE_ROW("give-up-after", CTL_DURATION, "TIME",
                      "how long it is asked again and again; 10m", &given.patience_ms, 0,
                      CTL_TIME_MAX_MS),
        CTL_ROW("build-only", CTL_FLAG, NULL, "do not merge the blocks into the tenants' days",
                &given.build_only),
    };
    if (!ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, NULL,
                          &code)) {
        return code;
    }
    return flush_run(command, &given);
}

const struct ctl_command ctl_flush = {
    .words = "flush",
    .summary = "bring all that a region's log has now to the tenants' blocks",
    .help = "mrdctl flush --url URL\n\n"
            "Asks a compactor, any of the region, to bring all that the log has at this moment to "
            "blocks in\n"
            "object storage and to merge these into the tenants' days, and waits until that is "
            "committed. It\n"
            "says for each partition how far.",
    .run = run,
};
