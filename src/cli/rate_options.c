/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rate_options.h"

#include "svc/workload.h"

void rate_options_into(const struct rate_options *o, struct resources_config *r)
{
	r->network_rx_bps = (uint64_t) o->rx_bps;
	r->network_rx_pps = (uint64_t) o->rx_pps;
	r->network_tx_bps = (uint64_t) o->tx_bps;
	r->network_tx_pps = (uint64_t) o->tx_pps;
	r->read_bps = o->read_bps.items;
	r->read_bps_n = o->read_bps.n;
	r->write_bps = o->write_bps.items;
	r->write_bps_n = o->write_bps.n;
	r->read_iops = o->read_iops.items;
	r->read_iops_n = o->read_iops.n;
	r->write_iops = o->write_iops.items;
	r->write_iops_n = o->write_iops.n;
}

unsigned rate_options_given(const struct rate_options *o)
{
	return (o->read_bps.n ? UPDATE_READ_BPS : 0u) | (o->write_bps.n ? UPDATE_WRITE_BPS : 0u) |
	       (o->read_iops.n ? UPDATE_READ_IOPS : 0u) |
	       (o->write_iops.n ? UPDATE_WRITE_IOPS : 0u) |
	       (o->rx_bps_set ? UPDATE_NETWORK_RX_BPS : 0u) |
	       (o->rx_pps_set ? UPDATE_NETWORK_RX_PPS : 0u) |
	       (o->tx_bps_set ? UPDATE_NETWORK_TX_BPS : 0u) |
	       (o->tx_pps_set ? UPDATE_NETWORK_TX_PPS : 0u);
}
