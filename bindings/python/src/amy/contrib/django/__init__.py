"""What a Django site on a host of libamy's needs; docs/django.md has the guide.

    INSTALLED_APPS = [..., "amy.contrib.django"]

brings `manage.py maintenance on|off|status` and system checks of settings that do
not fit the host. `amy.contrib.django.health` has the view and the middleware of a
health page.

Everything is found by itself on a host that follows the rules. What differs goes
into one setting, of which every key is optional:

    AMY = {
        "SITE": "example.org",              # else $AMY_SITE, else the directory's name
        "DIRECTORY": "/webapps/example.org",  # else the one above BASE_DIR with a site.yaml
        "RUN_DIRECTORY": "/run/amy",        # where the daemons' sockets are
        "HEALTH": {...},                    # see amy.contrib.django.health
    }
"""
