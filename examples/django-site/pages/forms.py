"""The forms a visitor fills in."""

from django import forms

from pages.models import Entry


class EntryForm(forms.ModelForm):
    class Meta:
        model = Entry
        fields = ["name", "message"]
        widgets = {"message": forms.Textarea(attrs={"rows": 3})}


class JobForm(forms.Form):
    limit = forms.IntegerField(
        label="Count the primes below", min_value=2, max_value=2_000_000, initial=100_000
    )
    later = forms.BooleanField(
        label="In five seconds, by the scheduler", required=False
    )


class UploadForm(forms.Form):
    file = forms.FileField(label="A file of up to 20 MB")


class SlowForm(forms.Form):
    s = forms.FloatField(label="Seconds", min_value=0, max_value=300, initial=3)
