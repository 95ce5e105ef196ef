"""URLs of sign-in, members, API keys, and the audit log."""

from django.urls import URLPattern, URLResolver, path

from apps.accounts.views import audit, keys, people, session, sso

app_name = "accounts"

urlpatterns: list[URLPattern | URLResolver] = [
    path("login/", session.login, name="login"),
    path("login/sso/", sso.start, name="sso_start"),
    path("login/sso/callback/", sso.callback, name="sso_callback"),
    path("login/link/<str:token>/", sso.sign_in_link, name="sign_in_link"),
    path("logout/", session.logout, name="logout"),
    path("profile/", session.profile, name="profile"),
    path("password/<slug:uid>/<slug:token>/", session.choose_password, name="choose_password"),
    path("api-keys/", keys.key_list, name="api_keys"),
    path("api-keys/new/", keys.key_new, name="api_key_new"),
    path("api-keys/<slug:key_id>/revoke/", keys.key_revoke, name="api_key_revoke"),
    path("people/", people.person_list, name="people"),
    path("people/new/", people.person_new, name="person_new"),
    path("people/<int:pk>/", people.person_edit, name="person_edit"),
    path("people/<int:pk>/password/", people.person_password, name="person_password"),
    path("people/<int:pk>/link/", people.person_link, name="person_link"),
    path("people/<int:pk>/active/", people.person_active, name="person_active"),
    path("audit/", audit.entry_list, name="audit"),
]
