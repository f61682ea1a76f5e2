/*
 * The channel "webhook": POSTs an outcome to the URL of its target, {"url": …}, signed as Standard Webhooks says.
 *
 * The row's id is the webhook-id of every attempt. A row whose host is busy, or does not answer and is left alone, is
 * put off without counting an attempt; but never past the moment at which its schedule has the next one: then the attempt
 * counts as failed. So the schedule alone says how long a delivery lives.
 */
#ifndef NOTIFIER_CHANNEL_WEBHOOK_H
#define NOTIFIER_CHANNEL_WEBHOOK_H

#include "notifier/channel.h"

extern const struct channel channel_webhook;

#endif
