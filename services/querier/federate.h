/* federate.h: GET /federate, what another Prometheus scrapes to take over selected series.
 *
 * The newest sample or native histogram within the lookback of every series that some match[] finds, with its
 * timestamp, in the format that the Accept header asks for (exposition.h). Staleness markers and
 * series without a name are left out; a series without `instance` gets an empty one, so that the scraper
 * does not put its target's there. Sorted by metric name, then by labels.
 */
#ifndef QRY_FEDERATE_H
#define QRY_FEDERATE_H

#include "querier/call.h"

qry_endpoint qry_answer_federate;

#endif
