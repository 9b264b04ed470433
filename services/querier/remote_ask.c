#include "querier/remote_ask.h"

struct qry_fanout_options qry_remote_fanout(const struct qry_remote *remote,
                                            const struct mrd_query_request *request,
                                            const struct mrd_query_scope *scope)
{
    return (struct qry_fanout_options){
        .cluster = remote->options.cluster,
        .request = request,
        .sequences_min = remote->options.sequences_min,
        .sequences_first_max = remote->options.sequences_first_max,
        .logs = remote->options.logs,
        .marks = remote->options.marks,
        .scope = scope,
        .salt = remote->options.salt,
        .partial = remote->options.partial,
    };
}

enum mrd_status qry_remote_ask(const struct qry_remote *remote,
                               const struct mrd_query_request *request,
                               const struct mrd_query_scope *scope, qry_visit_event *visit,
                               void *context, struct mrd_error *err)
{
    mrd_auto(qry_fanout_destroy)
    struct qry_fanout *fanout = NULL;
    const struct qry_fanout_options options = qry_remote_fanout(remote, request, scope);
    MRD_TRY(qry_fanout_create(&options, &fanout, err));
    for (;;) {
        struct qry_fanout_event event;
        MRD_TRY(qry_fanout_next(fanout, &event, err));
        if (event.kind == QRY_FANOUT_END) {
            return MRD_OK;
        }
        MRD_TRY(visit(context, &event, err));
    }
}
