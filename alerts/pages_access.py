"""Who may open the operators' pages below `/admin/`: staff, as everywhere there. Others come to the
admin's log-in, which says that they may not, and nothing of what is behind it."""

from functools import wraps
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect

from syncsvc.pages import View


def staff_only(view: View) -> View:
    """Decides as the admin does; a page that asks for news is led away as a whole."""
    inside = never_cache(view)

    @wraps(view)
    def answer(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if admin.site.has_permission(request):
            return inside(request, *args, **kwargs)
        if request.htmx:  # type: ignore[attr-defined]  # set by the middleware
            page = request.htmx.current_url_abs_path  # type: ignore[attr-defined]  # the middleware's
            back = urlencode({"next": page or reverse("sync_health")})
            return HttpResponseClientRedirect(f"{reverse('admin:login')}?{back}")
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))

    return answer
