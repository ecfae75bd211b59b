"""The application's configuration: registers the system checks."""

from importlib import import_module

from django.apps import AppConfig


class AmyConfig(AppConfig):
    """`INSTALLED_APPS = ["amy.contrib.django"]`."""

    name = "amy.contrib.django"
    label = "amy"
    verbose_name = "libamy"

    def ready(self) -> None:
        """Registers the checks by importing them."""
        import_module("amy.contrib.django.checks")
