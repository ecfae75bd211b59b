/** @file amy/amy.h
 *  @brief All of libamy's public headers, and its version.
 */
#ifndef AMY_AMY_H
#define AMY_AMY_H

#include <amy/backup.h>
#include <amy/clock.h>
#include <amy/control.h>
#include <amy/deploy.h>
#include <amy/doctor.h>
#include <amy/enter.h>
#include <amy/error.h>
#include <amy/export.h>
#include <amy/front.h>
#include <amy/gate.h>
#include <amy/layout.h>
#include <amy/log.h>
#include <amy/logrotate.h>
#include <amy/pool.h>
#include <amy/redis.h>
#include <amy/scheduler.h>
#include <amy/upgrade.h>
#include <amy/version.h>
#include <amy/workers.h>

#endif
