/* mrdctl tenant delete: has a region erase all that a tenant has, and waits for the receipt if asked to. */
#include <stdio.h>

#include <jansson.h>

#include "mrdctl/command.h"
#include "mrdctl/connection.h"
#include "mrdctl/patience.h"

enum { URL_SIZE = 512, LOOK_MS = 2000, ID_SIZE = 64 };

struct options {
    struct ctl_connection_options connection;
    mrd_time_ms patience_ms;
    bool wait;
};

static void json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

static enum mrd_status ask(struct ctl_connection *connection, const char *method, const char *url,
                           json_t **out, struct mrd_error *err)
{
    struct mrd_http_answer answer;
    json_error_t problem;
    const struct mrd_http_call call = {.method = method, .url = url};
    MRD_TRY(ctl_connection_send(connection, &call, &answer, err));
    if (answer.status != 200) {
        const struct mrd_bytes text = ctl_answer_text(&answer);
        const bool later = answer.status == 429 || answer.status > 500;
        return mrd_fail(err, later ? MRD_E_UNAVAILABLE : MRD_E_INVALID,
                        "the querier answers %u: %.*s", answer.status, MRD_FMT(text));
    }
    *out = json_loadb((const char *)answer.body.data, answer.body.size, JSON_REJECT_DUPLICATES,
                      &problem);
    return *out != NULL ? MRD_OK
                        : mrd_fail(err, MRD_E_INVALID, "the answer is not that of a querier");
}

/* {"status":"success","data":{"id":"..."}} */
static enum mrd_status request(struct ctl_connection *connection, const char *tenant,
                               char out_id[ID_SIZE], struct mrd_error *err)
{
    char url[URL_SIZE];
    mrd_auto(json_drop)
    json_t *root = NULL;
    (void)snprintf(url, sizeof(url), "/api/v1/admin/tsdb/delete_tenant?confirm=%s", tenant);
    MRD_TRY(ask(connection, "POST", url, &root, err));
    const char *id = json_string_value(json_object_get(json_object_get(root, "data"), "id"));
    if (id == NULL || strlen(id) >= ID_SIZE) {
        return mrd_fail(err, MRD_E_INVALID, "the answer is not that of a querier");
    }
    (void)snprintf(out_id, ID_SIZE, "%s", id);
    return MRD_OK;
}

/* {"status":"success","data":{"erasures":[{"id":"...","state":"..."},...]}} */
static enum mrd_status look(struct ctl_connection *connection, const char *id, bool *out_done,
                            struct mrd_error *err)
{
    mrd_auto(json_drop)
    json_t *root = NULL;
    MRD_TRY(ask(connection, "GET", "/api/v1/admin/tsdb/erasures", &root, err));
    const json_t *items = json_object_get(json_object_get(root, "data"), "erasures");
    *out_done = false;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *its_id = json_string_value(json_object_get(item, "id"));
        const char *state = json_string_value(json_object_get(item, "state"));
        *out_done |= its_id != NULL && state != NULL && strcmp(its_id, id) == 0 &&
                     strcmp(state, "done") == 0;
    }
    return MRD_OK;
}

static enum mrd_status wait_done(struct ctl_connection *connection, const struct options *options,
                                 const char *id, struct mrd_error *err)
{
    struct ctl_patience patience;
    ctl_patience_init(&patience, options->patience_ms);
    struct mrd_error why = {0};
    do {
        bool done = false;
        const enum mrd_status status = look(connection, id, &done, &why);
        if (status != MRD_OK && status != MRD_E_UNAVAILABLE) {
            return mrd_fail(err, status, "%s", why.text);
        }
        if (status == MRD_OK && done) {
            printf("done: nothing in the region has anything of it\n");
            return MRD_OK;
        }
    } while (ctl_patience_wait(&patience, LOOK_MS,
                               why.status == MRD_OK ? "it is not done yet" : why.text));
    return mrd_fail(err, MRD_E_UNAVAILABLE,
                    "it is under way and not done yet: mrdctl erasure show %s says how far", id);
}

static enum mrd_status delete_tenant(struct ctl_connection *connection,
                                     const struct options *options, struct mrd_error *err)
{
    char id[ID_SIZE];
    MRD_TRY(request(connection, options->connection.tenant, id, err));
    printf("tenant %s is deleted: no query shows anything of it\nrequest %s\n",
           options->connection.tenant, id);
    (void)fflush(stdout);
    return options->wait ? wait_done(connection, options, id, err) : MRD_OK;
}

static enum ctl_exit run(const struct ctl_command *command, int count, char **arguments)
{
    enum ctl_exit code;
    struct ctl_list rest = {.count = 0};
    struct options given = {.patience_ms = (mrd_time_ms)72 * 3600 * 1000};
    const struct ctl_option options[] = {
        CTL_CONNECTION_ROWS(&given.connection,
                            "a querier with querier.admin_api, such as http://127.0.0.1:7204"),
        CTL_ROW("wait", CTL_FLAG, NULL, "wait for the receipt", &given.wait),
        CTL_RANGE_ROW("give-up-after", CTL_DURATION, "TIME", "how long it is waited for; 72h",
                      &given.patience_ms, 0, CTL_TIME_MAX_MS),
    };
    if (!ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, &rest,
                          &code)) {
        return code;
    }
    if (rest.count != 1) {
        (void)fprintf(stderr, "mrdctl %s: which tenant? mrdctl %s --help says how\n",
                      command->words, command->words);
        return CTL_EXIT_USAGE;
    }
    given.connection.tenant = rest.items[0];
    struct mrd_error err = {0};
    mrd_auto(ctl_connection_close)
    struct ctl_connection connection = {0};
    enum mrd_status status = ctl_connection_open(&connection, &given.connection, &err);
    if (status == MRD_OK) {
        status = delete_tenant(&connection, &given, &err);
    }
    return status == MRD_OK ? CTL_EXIT_DONE : ctl_fail(command, status, &err);
}

const struct ctl_command ctl_tenant_delete = {
    .words = "tenant delete",
    .summary = "erase all that a tenant has",
    .help = "mrdctl tenant delete --url URL NAME\n\n"
            "Erases all that the tenant has written until now: series, exemplars, metadata, and "
            "then its tables\n"
            "and their files. When the command ends no query shows anything of it; what storage "
            "has goes after\n"
            "that, and ends in a receipt, which --wait waits for. Where it could not be done "
            "everywhere it says so:\n"
            "run it again. What the tenant writes later is a new life.",
    .run = run,
};
