/* log_info.h: reads what JetStream's API answers about a log's stream and its entries. Plain values, any thread.
 *
 * Errors of the API are errors here: MRD_E_NOT_FOUND for what is not there, MRD_E_UNAVAILABLE for others. What is no answer of
 * the API is MRD_E_CORRUPT.
 */
#ifndef MRD_BUS_LOG_INFO_H
#define MRD_BUS_LOG_INFO_H

#include "bus/log_admin.h"

/* Of $JS.API.STREAM.INFO.<stream>. */
MRD_MUST_CHECK enum mrd_status mrd_log_info_parse(struct mrd_bytes json, struct mrd_log_state *out,
                                                  struct mrd_error *err);

/* Of $JS.API.STREAM.MSG.GET.<stream>: when the entry was stored. */
MRD_MUST_CHECK enum mrd_status mrd_log_entry_parse(struct mrd_bytes json, mrd_time_ms *out_ms,
                                                   struct mrd_error *err);

#endif
